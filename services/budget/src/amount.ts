import type { Budget } from '@sluice/contracts'

type Unit = Budget['unit']

const nanoDigits = 9

/** The largest limit: what a JSON number holds exactly. In nano-USD about nine million dollars. */
export const maxAmount = BigInt(Number.MAX_SAFE_INTEGER)

/**
 * Reads an amount as people write it: decimal USD (`0.01`, exact to the nano-dollar) or a whole count.
 * Undefined where it is neither, or too large.
 */
export function parseAmount(unit: Unit, text: string): bigint | undefined {
  if (unit !== 'usd') return parseCount(text)
  const [, whole, fraction = ''] = /^(\d{1,16})(?:\.(\d{1,9}))?$/.exec(text) ?? []
  return whole === undefined ? undefined : parseCount(whole + fraction.padEnd(nanoDigits, '0'))
}

/** Reads a whole number; undefined where it is none, or too large. */
export function parseCount(text: string): bigint | undefined {
  const amount = /^\d{1,25}$/.test(text) ? BigInt(text) : undefined
  return amount !== undefined && amount <= maxAmount ? amount : undefined
}

/** The reverse of {@link parseAmount}, at least two digits of cents for USD. */
export function formatAmount(unit: Unit, amount: bigint): string {
  if (unit !== 'usd') return amount.toString()
  const sign = amount < 0n ? '-' : ''
  const digits = (amount < 0n ? -amount : amount).toString().padStart(nanoDigits + 1, '0')
  const fraction = digits.slice(-nanoDigits).replace(/0{1,7}$/, '')
  return `${sign}${digits.slice(0, -nanoDigits)}.${fraction}`
}

/** A sum as a document holds it: a JSON number. Beyond what that holds exactly, every limit is long passed. */
export function toDocumentAmount(amount: bigint): number {
  if (amount > maxAmount) return Number.MAX_SAFE_INTEGER
  return amount < -maxAmount ? -Number.MAX_SAFE_INTEGER : Number(amount)
}
