import type { Call } from './call.ts'
import { NOTHING_METERED } from './cost.ts'
import type { Directives } from './directives.ts'
import { sendWhole } from './play-whole.ts'
import type { SimPrice } from './prices.ts'
import { Production } from './production.ts'

/** An answer that costs nothing: after its wait, whole, with the faults of its bytes. */
export async function playFree(
  call: Call,
  directives: Directives,
  { model, price }: { readonly model: string; readonly price: SimPrice },
  answer: object,
): Promise<void> {
  const free = { model, price, tier: 'default', geo: null, metered: NOTHING_METERED }
  const production = new Production(call, free, { responseId: null, streamed: false })
  await production.pause(directives.number('first_delay_ms') ?? 0)
  if (!production.ended) await sendWhole({ call, directives, production, answer })
}
