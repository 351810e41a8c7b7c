import type { TestStack } from '@sluice/test-env'

/** Which numbers billing has not seen, of every gateway's every run. */
export interface Completeness {
  complete: boolean
  gaps: { gateway_id: string; epoch: number; partition: number; gaps: [number, number][] }[]
}

/** Asks billing's operator port. */
export async function askCompleteness(stack: TestStack): Promise<Completeness> {
  const { origin } = new URL(stack.services.billing.plan.readyUrl)
  return (await (await fetch(`${origin}/completeness`)).json()) as Completeness
}
