import type { Bus } from '@sluice/bus'
import {
  ContractError,
  LeaseAnswer,
  LeaseAsk,
  LeaseHeartbeat,
  LeaseHello,
  LeaseReceipt,
  LeaseReport,
} from '@sluice/contracts'
import type { Command } from '../homes/command.ts'

export interface LeaseRequestDeps {
  push: (command: Command) => void
  /** A message that no gateway should send: nothing answers it. */
  onBad: (subject: string, error: ContractError) => void
}

/** Hears what gateways say to a home that this instance owns. */
export function serveLeaseRequests(bus: Bus, home: number, deps: LeaseRequestDeps): { close: () => void } {
  const serve = (subject: string, toCommand: (data: Uint8Array, respond: (body: string) => void) => Command) =>
    bus.connection.subscribe(subject, {
      callback: (error, message) => {
        if (error) return
        try {
          deps.push(toCommand(message.data, body => void message.respond(body)))
        } catch (err) {
          if (!(err instanceof ContractError)) throw err
          deps.onBad(subject, err)
        }
      },
    })
  const receipt = (respond: (body: string) => void) => (given: LeaseReceipt) => respond(LeaseReceipt.encode(given))
  const subscriptions = [
    serve(LeaseAsk.subject(home), (data, respond) => ({
      kind: 'ask',
      receivedAt: performance.now(),
      recalled: false,
      message: LeaseAsk.decode(data),
      answer: answer => respond(LeaseAnswer.encode(answer)),
    })),
    serve(LeaseReport.subject(home), (data, respond) => ({
      kind: 'report',
      receivedAt: performance.now(),
      message: LeaseReport.decode(data),
      answer: receipt(respond),
    })),
    serve(LeaseHello.subject(home), (data, respond) => ({
      kind: 'hello',
      receivedAt: performance.now(),
      message: LeaseHello.decode(data),
      answer: receipt(respond),
    })),
    serve(LeaseHeartbeat.subject(home), (data, respond) => ({
      kind: 'heartbeat',
      receivedAt: performance.now(),
      message: LeaseHeartbeat.decode(data),
      answer: receipt(respond),
    })),
  ]
  return {
    close: () => {
      if (!bus.connection.isClosed()) for (const subscription of subscriptions) subscription.unsubscribe()
    },
  }
}
