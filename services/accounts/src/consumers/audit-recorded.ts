import { type BatchConsumer, type Bus, consumeBatches } from '@sluice/bus'
import { AuditRecorded, type AuditRecordedData, ContractError, requireOwnChange } from '@sluice/contracts'
import { type Logger, withinScope } from '@sluice/runtime'
import { appendRecorded, insertUnread } from '../audit-store.ts'
import type { Db } from '../db/schema.ts'
import { changeRecorded, changeUnread } from '../events.ts'
import { isStorable } from '../storable-json.ts'

/** A message as it came. */
export interface ReceivedChange {
  subject: string
  data: Uint8Array
}

/** Puts what other services have changed at the end of its account's trail. What comes again is there already. */
export function chainRecordedChanges(deps: {
  bus: Bus
  db: Db
  now: () => number
  log: Logger
}): Promise<BatchConsumer> {
  return consumeBatches(deps.bus, 'accounts-audit', {
    handle: messages => recordChanges(deps, messages),
    maxMessages: 1,
    log: deps.log,
  })
}

/** Writes changes in the order in which they came: those of one account together. What is no such message is put aside. */
export async function recordChanges(
  { db, now, log }: { db: Db; now: () => number; log: Logger },
  messages: readonly ReceivedChange[],
): Promise<void> {
  const ofAccounts = new Map<string, AuditRecordedData[]>()
  const unread: (ReceivedChange & { reason: string })[] = []
  for (const { subject, data } of messages)
    try {
      const change = AuditRecorded.decode(data)
      requireOwnChange(subject, change)
      if (!isStorable([change.before, change.after])) throw new ContractError('before, after: no store can hold them')
      ofAccounts.set(change.account_id, [...(ofAccounts.get(change.account_id) ?? []), change])
    } catch (error) {
      if (!(error instanceof ContractError)) throw error
      unread.push({ subject, data, reason: error.message })
    }
  await withinScope({ system: true }, async () => {
    for (const [accountId, changes] of ofAccounts) changeRecorded(log, await appendRecorded(db, accountId, changes))
    if (unread.length > 0) await insertUnread(db, unread, new Date(now()))
  })
  for (const { subject, reason } of unread) changeUnread(log, subject, reason)
}
