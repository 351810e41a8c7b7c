import type { RefusalReason } from '../refusal.ts'

/** Why we end a socket. */
export const closeCodes = {
  /** Permission or money is gone. */
  refused: 1008,
  /** The provider's side broke. */
  upstream: 1011,
  /** This gateway is going; another one will answer. */
  restart: 1012,
  /** It cannot go on here now, for no fault of the client's. */
  later: 1013,
} as const

const codeOfReason: Partial<Record<RefusalReason, number>> = {
  internal: closeCodes.upstream,
  provider_unreachable: closeCodes.upstream,
  provider_timeout: closeCodes.upstream,
  shutting_down: closeCodes.restart,
  metering_unavailable: closeCodes.later,
  overloaded: closeCodes.later,
  view_stale: closeCodes.later,
}

/** The code of a session that ends for a refusal. */
export function closeCodeOf(reason: RefusalReason): number {
  return codeOfReason[reason] ?? closeCodes.refused
}

/**
 * The code by which a close is passed on. Some codes never stand in a frame: nothing said stays nothing said, a broken
 * connection is told as an error of the other side.
 */
export function passedCloseCode(code: number): number | undefined {
  if (code === 1005) return undefined
  const mayBeSent = (code >= 1000 && code <= 1014 && code !== 1004 && code !== 1006) || (code >= 3000 && code <= 4999)
  return mayBeSent ? code : closeCodes.upstream
}

/** A reason in a close frame is at most 123 bytes. */
export function closeReason(text: string): string {
  if (Buffer.byteLength(text) <= 123) return text
  let cut = text.slice(0, 120)
  while (Buffer.byteLength(cut) > 120) cut = cut.slice(0, -1)
  return `${cut.toWellFormed()}…`
}
