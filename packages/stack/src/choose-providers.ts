import { hostname, networkInterfaces } from 'node:os'

export type Dialect = 'openai' | 'anthropic'

/** A real provider's managed credential. */
export interface ManagedProvider {
  apiKey?: string
  baseUrl?: string
}

export interface ProviderChoice {
  openai?: ManagedProvider
  anthropic?: ManagedProvider
  /** What was set and is not used, one sentence each. */
  notes: string[]
}

const names = {
  openai: { key: 'OPENAI_API_KEY', baseUrl: 'OPENAI_BASE_URL' },
  anthropic: { key: 'ANTHROPIC_API_KEY', baseUrl: 'ANTHROPIC_BASE_URL' },
} as const

/**
 * Which dialects a real provider answers: those whose key or base URL is set. A shell that has sourced our own `env`
 * file carries our key and our address: with them we would call ourselves, so both are left out.
 * @param ownHost where we listen, as people write it
 */
export function chooseProviders(
  env: Record<string, string | undefined>,
  ownPort: number,
  ownHost?: string,
): ProviderChoice {
  const choice: ProviderChoice = { notes: [] }
  for (const dialect of ['openai', 'anthropic'] as const) {
    const { key: keyName, baseUrl: baseUrlName } = names[dialect]
    const apiKey = env[keyName]?.trim() || undefined
    const baseUrl = env[baseUrlName]?.trim() || undefined
    if (apiKey?.startsWith('ma-')) {
      choice.notes.push(
        `${keyName} is a Sluice key, so it is not used as a provider's${baseUrl === undefined ? '' : `, nor is ${baseUrlName}`}.`,
      )
      continue
    }
    if (baseUrl !== undefined && isOwnOrigin(baseUrl, ownPort, ownHost)) {
      choice.notes.push(`${baseUrlName} is this Sluice itself, so it is not used as a provider's address.`)
      if (apiKey !== undefined) choice[dialect] = { apiKey }
      continue
    }
    if (apiKey === undefined && baseUrl === undefined) continue
    if (baseUrl !== undefined && !URL.canParse(baseUrl)) {
      choice.notes.push(`${baseUrlName} is not a URL, so it is not used.`)
      if (apiKey !== undefined) choice[dialect] = { apiKey }
      continue
    }
    choice[dialect] = {
      ...(apiKey === undefined ? {} : { apiKey }),
      ...(baseUrl === undefined ? {} : { baseUrl: baseUrl.replace(/\/+$/, '') }),
    }
  }
  return choice
}

function isOwnOrigin(url: string, ownPort: number, ownHost = 'localhost'): boolean {
  if (!URL.canParse(url)) return false
  const { hostname: host, port, protocol } = new URL(url)
  const given = port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port)
  if (given !== ownPort) return false
  if (host.startsWith('127.')) return true
  const addresses = Object.values(networkInterfaces()).flatMap(each => each?.map(({ address }) => address) ?? [])
  const onAll = ownHost === '0.0.0.0' || ownHost === '::'
  const names = ['localhost', '0.0.0.0', '::', '::1', ownHost, ...(onAll ? [hostname(), ...addresses] : [])]
  return names.some(name => nameInUrl(name) === host)
}

/** As `URL` writes a name or an address. @returns nothing of what none has, such as an address with a zone */
function nameInUrl(name: string): string | undefined {
  const url = `http://${name.includes(':') ? `[${name}]` : name}`
  return URL.canParse(url) ? new URL(url).hostname : undefined
}
