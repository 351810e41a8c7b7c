import { ContractError } from '@sluice/contracts'

/**
 * Whether an error is the fault of the data that was to be written, so that the same data fails for ever: PostgreSQL's class
 * 22 (a NUL or a lone surrogate in text or jsonb, a number out of range), a number no time or window can be made of, or a
 * document that does not match its contract. A store that is away, a lock, a constraint are none of these.
 */
export function isDataError(error: unknown): boolean {
  if (error instanceof ContractError || error instanceof RangeError) return true
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined
  return typeof code === 'string' && /^22[0-9A-Z]{3}$/.test(code)
}

/** Text that PostgreSQL can hold: what it refuses (NUL, half a surrogate pair) is replaced by U+FFFD. For reasons and names, never for content. */
export function storableText(text: string): string {
  return text.toWellFormed().replaceAll('\u0000', '\uFFFD')
}
