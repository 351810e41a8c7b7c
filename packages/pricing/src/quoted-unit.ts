import type { QuantityName } from '@sluice/contracts'
import { isTokens } from './resolve-rates.ts'

/** What a price of a quantity is quoted for, as providers print it. */
export interface QuotedUnit {
  /** Units of the quantity that the price is for. */
  per: number
  text: string
}

const perMillion: QuotedUnit = { per: 1_000_000, text: 'per million' }
const perMinute: QuotedUnit = { per: 60_000, text: 'per minute' }
const each: QuotedUnit = { per: 1, text: 'each' }

export function quotedUnit(name: QuantityName): QuotedUnit {
  if (isTokens(name) || name === 'chars_in') return perMillion
  return name === 'audio_ms_in' || name === 'audio_ms_out' ? perMinute : each
}
