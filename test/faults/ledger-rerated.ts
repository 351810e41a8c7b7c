import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually, startTestStack } from '@sluice/test-env'
import { signIn } from '../management.ts'
import { countPosted } from './accounts-of-a-run.ts'
import { startLoad } from './load-client.ts'
import { type Replacement, restartAsMutant } from './mutant.ts'
import { rerateLedger } from './rerate-ledger.ts'
import type { Outcome, Scenario, ScenarioRun } from './scenario.ts'

interface Size {
  /** How often the project's own prices change meanwhile. */
  changes: number
  callsBetween: number
}

/** The gateway names the project's own book in the event, and rates by the catalogue alone. */
const forgetOwnPrices: Replacement[] = [
  {
    file: 'services/gateway/src/settle.ts',
    from: 'return rate(call.prices, {',
    to: 'return rate({ book: call.prices.book }, {',
  },
]

/** Clients call while the project's own prices change again and again; then the whole log is rated again. */
async function run(at: ScenarioRun, size: Size, mutant: readonly Replacement[] = []): Promise<Outcome> {
  const stack = await startTestStack(at.scope, { services: ['accounts', 'billing', 'budget', 'gateway'] })
  if (mutant.length > 0) await restartAsMutant(stack.services.gateway, mutant)
  const admin = await signIn(stack)
  const load = startLoad({
    origin: stack.url,
    apiKey: stack.apiKey,
    seed: at.seed,
    logFile: join(at.logs, 'client.ndjson'),
    connections: 16,
    streamed: 0.2,
  })
  const answered = () => load.calls.filter(call => call.ended === 'whole').length
  try {
    for (let change = 0; change <= size.changes; change++) {
      const before = answered()
      await eventually(() => answered() >= before + size.callsBetween, { message: 'answers' })
      if (change === size.changes) break
      // Every third time they end, and the catalogue holds alone.
      const { status } =
        change % 3 === 2
          ? await admin.call('DELETE', `${admin.project}/price-book`)
          : await admin.call('PUT', `${admin.project}/price-book`, { prices: ownPrices(at.seed + change) })
      if (status >= 300) throw new Error(`the prices were not changed: ${status}`)
    }
  } finally {
    await load.stop()
  }
  await eventually(async () => (await countPosted(stack)) >= answered(), {
    message: 'all is posted',
  })
  await delay(500)
  const outcome = await rerateLedger(stack)
  const own = Number(outcome.figures['of these at prices of the project’s own'])
  outcome.kept.push({ promise: 'events at prices of the project’s own', kept: own > 0, found: String(own) })
  return outcome
}

/** Prices that nobody has: a difference shows in every event. */
export function ownPrices(number: number): object {
  const prices = { in_text: `${(number % 89) + 1}.013`, out_text: `${(number % 97) + 1}.017` }
  return {
    source: `Contract ${number}`,
    providers: {
      openai: { models: [{ id: 'own', names: ['gpt-*'], prices }] },
      anthropic: { models: [{ id: 'own', names: ['claude-*'], prices }] },
    },
  }
}

export const ledgerRerated: Scenario<Size> = {
  name: 'ledger-rerated',
  promise: 'the usage log of a real ledger, rated again by the price books of its instants, is what was posted',
  full: { changes: 30, callsBetween: 1_000 },
  small: { changes: 4, callsBetween: 40 },
  run: (at, size) => run(at, size),
  mutant: {
    name: 'the project’s own prices are named and forgotten',
    size: { changes: 2, callsBetween: 40 },
    run: (at, size) => run(at, size, forgetOwnPrices),
  },
}
