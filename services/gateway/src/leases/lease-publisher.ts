import { type Bus, subscribe } from '@sluice/bus'
import {
  LeaseAnswer,
  LeaseAsk,
  LeaseHeartbeat,
  LeaseHello,
  LeaseRecall,
  LeaseReceipt,
  LeaseReport,
} from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'

/** What goes to the homes of budgets, and what they call back. Each request rejects where nobody answers in two seconds, an ask in one. */
export interface LeasePublisher {
  ask: (home: number, ask: LeaseAsk) => Promise<LeaseAnswer>
  report: (home: number, report: LeaseReport) => Promise<LeaseReceipt>
  heartbeat: (home: number, heartbeat: LeaseHeartbeat) => Promise<LeaseReceipt>
  hello: (home: number, hello: LeaseHello) => Promise<LeaseReceipt>
  /** @param handle gets the leases of which what is idle is wanted back */
  onRecall: (gatewayId: string, handle: (leaseIds: readonly string[]) => void) => { close: () => Promise<void> }
}

const answerMs = 2_000
/** Homes answer asks within a third of it, where they are there; a call waits for it, and who is next in its home is asked then. */
const askMs = 1_000

export function createLeasePublisher(bus: Bus, log: Logger): LeasePublisher {
  const request = async (subject: string, body: string, timeout = answerMs): Promise<Uint8Array> =>
    (await bus.connection.request(subject, body, { timeout })).data
  return {
    ask: async (home, ask) => LeaseAnswer.decode(await request(LeaseAsk.subject(home), LeaseAsk.encode(ask), askMs)),
    report: async (home, report) =>
      LeaseReceipt.decode(await request(LeaseReport.subject(home), LeaseReport.encode(report))),
    heartbeat: async (home, heartbeat) =>
      LeaseReceipt.decode(await request(LeaseHeartbeat.subject(home), LeaseHeartbeat.encode(heartbeat))),
    hello: async (home, hello) =>
      LeaseReceipt.decode(await request(LeaseHello.subject(home), LeaseHello.encode(hello))),
    onRecall: (gatewayId, handle) =>
      subscribe(bus, LeaseRecall, LeaseRecall.subject(gatewayId), recall => handle(recall.lease_ids), log),
  }
}
