/** Thrown where bytes or text are no JSON, or name a member twice. */
export class JsonScanError extends Error {
  override name = 'JsonScanError'
}

const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]:]/g

/**
 * Parses JSON in which no object names a member twice: readers disagree on which one counts, and what we allow must be what
 * the provider serves. @throws JsonScanError
 */
export function parseUnambiguous(text: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new JsonScanError('The body is not valid JSON.')
  }
  // The names of each object that is open; of an array, none.
  const open: Set<string>[] = []
  let name = ''
  for (const [token] of text.matchAll(tokens)) {
    if (token === '{' || token === '[') open.push(new Set())
    else if (token === '}' || token === ']') open.pop()
    else if (token === ':') addName(open.at(-1), JSON.parse(name) as string)
    else name = token
  }
  return value
}

function addName(names: Set<string> | undefined, name: string): void {
  if (names?.has(name)) throw new JsonScanError(`The body names "${name.slice(0, 64)}" twice.`)
  names?.add(name)
}
