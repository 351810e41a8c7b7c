import type { TestStack } from '@sluice/test-env'

/** Which numbers billing has not seen, of every gateway's every run. */
export interface Completeness {
  complete: boolean
  /** Runs that are not over, and when they were last heard of. */
  open: { gateway_id: string; heard_at: string }[]
  /** Runs that are not over, and of which nothing is heard any more. */
  silent: { gateway_id: string; open_calls: number | null; open_nano_usd: string | null }[]
  gaps: { gateway_id: string; epoch: number; partition: number; gaps: [number, number][] }[]
}

/** Asks billing's operator port. */
export async function askCompleteness(stack: TestStack): Promise<Completeness> {
  const { origin } = new URL(stack.services.billing.plan.readyUrl)
  return (await (await fetch(`${origin}/completeness`)).json()) as Completeness
}
