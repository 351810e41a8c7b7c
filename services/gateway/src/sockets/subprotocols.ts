/** What a client offered in `Sec-WebSocket-Protocol`. */
export interface OfferedProtocols {
  /** The key that a browser, which can set no header, hides among them; empty where there is none. */
  credential: string
  /** The others, for the provider to choose from. */
  protocols: string[]
}

const keyPrefix = 'openai-insecure-api-key.'
/** These may name the key's account at the provider, which is ours. */
const accountPrefixes = ['openai-organization.', 'openai-project.'] as const
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,2048}$/

/** Takes the key out of the offered subprotocols. The key is not forwarded, not answered and not logged. */
export function readOfferedProtocols(header: string | undefined): OfferedProtocols {
  let credential = ''
  const protocols: string[] = []
  for (const name of (header ?? '').split(',').map(part => part.trim())) {
    if (name.startsWith(keyPrefix)) credential ||= name.slice(keyPrefix.length)
    else if (accountPrefixes.some(prefix => name.startsWith(prefix))) continue
    else if (token.test(name) && !protocols.includes(name) && protocols.length < 16) protocols.push(name)
  }
  return { credential, protocols }
}
