/** The text or the object is no price book and no price file. The message names the place. */
export class PriceBookError extends Error {
  override name = 'PriceBookError'
}

/** @throws PriceBookError naming the place */
export function record(value: unknown, at: string): Record<string, unknown> {
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw new PriceBookError(`${at}: not an object`)
  return value as Record<string, unknown>
}

/** @throws PriceBookError naming the place */
export function list(value: unknown, at: string): unknown[] {
  if (!Array.isArray(value)) throw new PriceBookError(`${at}: not a list`)
  return value
}
