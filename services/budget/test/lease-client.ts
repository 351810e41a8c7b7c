import type { Bus } from '@sluice/bus'
import {
  LeaseAnswer,
  LeaseAsk,
  LeaseHeartbeat,
  LeaseHello,
  LeaseReceipt,
  LeaseReport,
  type LeaseTotals,
  leaseIdOf,
} from '@sluice/contracts'

/** What a test asks of a pool. */
export interface AskedPool {
  budgetId: string
  copy?: string
  windowStartMs?: number
  want: number
  need?: number
  ahead?: number
  late?: true
}

/** One run of a gateway, as far as a home knows it. */
export function leaseClient(bus: Bus, gatewayId: string, epoch: number, home: number) {
  let seq = 0
  const who = () => ({ gateway_id: gatewayId, epoch, at_ms: Date.now() })

  /** Says it until it is answered, as gateways do: its home may be between two owners. */
  async function say(subject: string, body: string, patienceMs: number): Promise<Uint8Array> {
    const until = performance.now() + patienceMs
    for (;;) {
      try {
        return (await bus.connection.request(subject, body, { timeout: 500 })).data
      } catch (error) {
        if (performance.now() > until) throw error
        await new Promise(resolve => setTimeout(resolve, 20))
      }
    }
  }

  const askAs = async (number: number, pools: readonly AskedPool[], patienceMs = 15_000): Promise<LeaseAnswer> => {
    const items = pools.map(({ budgetId, copy = '', windowStartMs = 0, want, need = want, ahead = 0, late }) => ({
      budget_id: budgetId,
      copy,
      window_start_ms: windowStartMs,
      want,
      need,
      ahead,
      ...(late && { late }),
    }))
    const body = LeaseAsk.encode({ ...who(), seq: number, items })
    return LeaseAnswer.decode(await say(LeaseAsk.subject(home), body, patienceMs))
  }
  const received = async (subject: string, body: string): Promise<LeaseReceipt> =>
    LeaseReceipt.decode(await say(subject, body, 15_000))

  return {
    epoch,
    /** The numbers of asks go on; `askAs` says one again. */
    ask: (...pools: AskedPool[]) => askAs(++seq, pools),
    askAs,
    get lastSeq() {
      return seq
    },
    report: (...leases: LeaseTotals[]) => received(LeaseReport.subject(home), LeaseReport.encode({ ...who(), leases })),
    heartbeat: (idle: [string, number][], whole?: LeaseHeartbeat['whole']) =>
      received(LeaseHeartbeat.subject(home), LeaseHeartbeat.encode({ ...who(), idle, ...(whole ? { whole } : {}) })),
    hello: (endedEpoch: number, ...leases: LeaseTotals[]) =>
      received(
        LeaseHello.subject(home),
        LeaseHello.encode({
          gateway_id: gatewayId,
          ended_epoch: endedEpoch,
          at_ms: Date.now(),
          leases,
          more: false,
        }),
      ),
    /** Totals of the lease of an ask's only item, or of the one that is named. */
    totals: (number: number, budgetId: string, overrides: Partial<LeaseTotals> = {}): LeaseTotals => ({
      lease_id: leaseIdOf(gatewayId, epoch, number, 0),
      budget_id: budgetId,
      copy: '',
      window_start_ms: 0,
      epoch,
      granted: 0,
      settled_total: 0,
      returned_total: 0,
      unresolved: [],
      version: 1,
      done: false,
      ...overrides,
    }),
  }
}
