import { setTimeout as delay } from 'node:timers/promises'
import { type BackgroundResponse, holderOf } from '@sluice/contracts'
import type { AdmittedCall } from '../call.ts'
import type { Endpoint } from '../endpoints.ts'
import { rememberMade } from '../references/remember-made.ts'
import { Refusal } from '../refusal.ts'
import type { Relay } from '../relay.ts'
import type { GatewayDeps } from '../request-path.ts'
import { jobOf } from '../views/stored-responses-view.ts'
import type { ToldResponse } from './response-object.ts'

/** How long a client waits for its background response to be recorded. */
const recordTimeoutMs = 20_000

type RegisterDeps = Pick<GatewayDeps, 'journal' | 'stored' | 'made'>

/**
 * Makes sure that a response which its provider has begun is settled once, under its id, so that its asking costs nothing:
 * first in this gateway's journal, from which a next run records it, then in the records that all gateways look after. A
 * client that has waited too long is refused; then the response is cancelled at its provider, and settled from there if it
 * still cannot be recorded.
 * @returns false: this process ends before. The attempt must stay open: its replay goes on from the journal
 */
export async function registerBackground(
  deps: RegisterDeps,
  call: AdmittedCall,
  relay: Pick<Relay, 'isGivenUp' | 'fail'>,
  told: ToldResponse,
): Promise<boolean> {
  const { records, poller } = deps.stored
  const job = jobOf(call, told.id, Date.now() + poller.minIntervalMs)
  if (call.money) {
    // It ends later than its asking, and any gateway may see its end.
    call.holder = holderOf('background', call.eventId)
    job.held = call.money.handedTo(call.holder, () => undefined)
  }
  noteInJournal(deps, call, job)
  // Where it cannot be made safer now, the record is what makes it safe.
  await deps.journal.secured?.().catch(() => undefined)
  const outcome = await recordOrCancel(deps, job, relay)
  if (outcome === 'open') return false
  call.endpoint = askingFor(call.endpoint)
  if (outcome === 'settled') return true
  // Whoever is told of it may ask for it at once.
  await records.rememberSoon(call, told.id)
  rememberMade(deps, call, { response_id: told.id })
  if (relay.isGivenUp) void poller.giveUp(job)
  return true
}

/** A CHECKPOINT of no cost, for a replay: what this attempt has begun is settled elsewhere. */
function noteInJournal({ journal }: RegisterDeps, call: AdmittedCall, job: BackgroundResponse): void {
  journal.checkpoint({
    event_id: call.eventId,
    at_ms: Date.now(),
    output_bytes: 0,
    quantities: {},
    provenance: {},
    response_id: job.response_id,
    http_status: 200,
    background: job,
  })
}

async function recordOrCancel(
  { stored: { records, poller } }: RegisterDeps,
  job: BackgroundResponse,
  relay: Pick<Relay, 'fail'>,
): Promise<'recorded' | 'settled' | 'open'> {
  const tooLate = setTimeout(() => {
    relay.fail(
      new Refusal(
        'records_unavailable',
        'This response could not be recorded (NATS is away), so it is cancelled. Ask again in a moment.',
        { retryAfterS: 5 },
      ),
    )
  }, recordTimeoutMs)
  const startedAt = performance.now()
  try {
    for (let tries = 0; !poller.stopping.aborted; tries++) {
      if (await records.register(job)) return 'recorded'
      if (performance.now() - startedAt >= recordTimeoutMs && (await poller.settleByCancelling(job))) return 'settled'
      await delay(Math.min(50 * 2 ** tries, 2_000), undefined, { signal: poller.stopping }).catch(() => undefined)
    }
    return 'open'
  } finally {
    clearTimeout(tooLate)
  }
}

const asking = new WeakMap<Endpoint, Endpoint>()

/** The same endpoint for a call that only asks for a response: what it says is told, not charged. */
function askingFor(endpoint: Endpoint): Endpoint {
  const known = asking.get(endpoint) ?? { ...endpoint, shape: 'stored-response', free: true }
  asking.set(endpoint, known)
  return known
}
