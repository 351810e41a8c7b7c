import { jetstreamManager } from '@nats-io/jetstream'
import { Kvm } from '@nats-io/kv'
import type { NatsConnection, Subscription } from '@nats-io/transport-node'
import {
  Budget,
  BudgetWindow,
  CallRefused,
  cutoffKey,
  totalInputTokens,
  totalOutputTokens,
  UsageRecorded,
  type UsageRecordedData,
} from '@sluice/contracts'
import { findTightest, matchingCopies } from './budget-left.ts'
import { LineLimit } from './line-limit.ts'
import { writeReceipt, writeRefusal } from './receipt-line.ts'

const linesPerSecond = 20
/** How long a line waits for the budget service to have counted the call. */
const budgetWaitMs = 400

/**
 * One line a call, from what the gateway published. A view for people beside the books: what arrives while the connection
 * is away is not shown.
 */
export async function printReceipts(
  connection: NatsConnection,
  print: (line: string) => void,
): Promise<{ stop: () => void }> {
  // Fails at once, with a reason, where the bus is not provisioned.
  await (await jetstreamManager(connection)).streams.info('USAGE')
  const budgets = await follow(connection, 'budgets', json => Budget.decode(json))
  const windows = await follow(connection, 'budget-windows', json => BudgetWindow.decode(json))
  const limit = new LineLimit(linesPerSecond, print)

  async function show(event: UsageRecordedData): Promise<void> {
    if (!limit.take()) return
    const copies = matchingCopies(event, budgets.values())
    const deadline = Date.now() + budgetWaitMs
    const isCounted = () =>
      copies.every(({ budget, copy }) => {
        const window = windows.get(cutoffKey(budget.budget_id, copy))
        return window !== undefined && window.updated_at_ms >= event.finished_at_ms
      })
    while (!isCounted() && Date.now() < deadline) await new Promise(resolve => setTimeout(resolve, 20))
    const left = findTightest(copies, (budget, copy) => windows.get(cutoffKey(budget.budget_id, copy)), Date.now())
    print(
      writeReceipt({
        event,
        inputTokens: totalInputTokens(event.quantities),
        outputTokens: totalOutputTokens(event.quantities),
        left,
      }),
    )
  }

  const subscriptions = [
    listen(connection, 'usage.recorded.v1.*', line => void show(UsageRecorded.decode(line))),
    listen(connection, 'call.refused.v1.*', line => {
      const refused = CallRefused.decode(line)
      if (limit.take()) print(writeRefusal(refused))
    }),
  ]
  return {
    stop: () => {
      for (const subscription of subscriptions) subscription.unsubscribe()
    },
  }
}

function listen(connection: NatsConnection, subject: string, show: (line: string) => void): Subscription {
  return connection.subscribe(subject, {
    callback: (error, message) => {
      if (error) return
      for (const line of message.string().split('\n')) {
        if (line === '') continue
        try {
          show(line)
        } catch {
          // A version this program does not know is shown by the one that does.
        }
      }
    },
  })
}

async function follow<T>(
  connection: NatsConnection,
  bucket: string,
  decode: (json: Uint8Array) => T,
): Promise<Map<string, T>> {
  const values = new Map<string, T>()
  const kv = await new Kvm(connection).open(bucket)
  const watch = await kv.watch()
  void (async () => {
    for await (const entry of watch) {
      if (entry.operation !== 'PUT') values.delete(entry.key)
      else {
        try {
          values.set(entry.key, decode(entry.value))
        } catch {
          values.delete(entry.key)
        }
      }
    }
  })()
  return values
}
