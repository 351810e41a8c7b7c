export type JsonObject = Record<string, unknown>

/** The value as an object; an empty one where it is something else. Replies of providers are read, never trusted. */
export function objectOf(value: unknown): JsonObject {
  return isObject(value) ? value : {}
}

export function isObject(value: unknown): value is JsonObject {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

/** The value as a list; an empty one where it is something else. */
export function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

/** A count: non-negative integer. Fractions round up; everything else is 0. */
export function countOf(value: unknown): number {
  if (typeof value !== 'number' || !(value > 0)) return 0
  const whole = Math.ceil(value)
  return Number.isSafeInteger(whole) ? whole : 0
}

/** Text, or undefined where it is something else or empty. */
export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** Longer names are cut: models and ids of providers are far shorter, and an event holds several. */
const maxNameLength = 256

/**
 * Text that is kept of a reply (a model, an id, a reason): at most 256 characters, well-formed, without control characters.
 * Undefined where nothing is left of it.
 */
export function nameOf(value: unknown): string | undefined {
  const text = textOf(value)
  if (text === undefined || isPlainName(text)) return text
  const kept = text
    .slice(0, maxNameLength)
    .replaceAll(/\p{Cc}/gu, '')
    .toWellFormed()
  return kept === '' ? undefined : kept
}

/** Nearly every name is short printable ASCII: nothing of it is to be changed. */
function isPlainName(text: string): boolean {
  if (text.length > maxNameLength) return false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x20 || code > 0x7e) return false
  }
  return true
}

/** An object without its undefined fields. */
export function defined<T extends object>(fields: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  const kept: Partial<T> = {}
  for (const name in fields) if (fields[name] !== undefined) kept[name] = fields[name]
  return kept as { [Key in keyof T]?: Exclude<T[Key], undefined> }
}

/** Parses JSON text; undefined where it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
