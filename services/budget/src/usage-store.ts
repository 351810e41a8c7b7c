import {
  Cutoff,
  cutoffKey,
  type Series,
  seriesKey,
  type UsageAdjustedData,
  type UsageRecordedData,
} from '@sluice/contracts'
import { enqueue, type Kysely, openMarks, seriesOfEpoch, type Transaction, transact } from '@sluice/postgres'
import { type Counted, type CountedBudget, sumByWindow, type WindowSum } from './budget.ts'
import { listBudgetsOfProjects, lockProjectsForUsage } from './budget-store.ts'
import { decideCutoff } from './cutoff.ts'
import { lockCutoffs, saveCutoff } from './cutoff-store.ts'
import type { BudgetTables } from './db/schema.ts'
import { type DeadLetter, insertDeadLetters } from './dead-letter-store.ts'
import { advancePositions } from './series-position-store.ts'
import { takeSettlements } from './settlement-store.ts'
import { adjustFact, factOf, type SpendFact } from './spend-fact.ts'
import { insertFacts, lockFacts, updateFact } from './spend-fact-store.ts'
import { adjustmentSeries, decodeEvents, type UsageMessage } from './usage-message.ts'
import type { windowAt } from './window.ts'
import { addToWindows } from './window-store.ts'

/** What a batch has changed, for whoever tells others after the commit. */
export interface AppliedUsage {
  /** New versions of cutoffs, to be pushed. */
  cutoffs: Cutoff[]
  /** Budget copies whose sums have changed. */
  copies: { budgetId: string; copy: string }[]
  events: number
  deadLetters: number
}

/**
 * Applies messages in one transaction: marks → new events → facts → sums of windows → crossings. Marks and sums commit
 * together, so redelivery, in whatever borders, finds nothing new.
 */
export function applyUsage(
  db: Kysely<BudgetTables>,
  messages: readonly UsageMessage[],
  findWindow: typeof windowAt,
  nowMs: number,
): Promise<AppliedUsage> {
  return transact(db, async trx => {
    const received = await receiveMessages(trx, messages)
    const { events, adjustments, letters } = received
    const changed = { cutoffs: [] as Cutoff[], copies: [] as WindowSum[] }
    if (events.length > 0 || adjustments.length > 0) {
      const projects = new Set(events.map(event => event.identity.project_id))
      for (const adjustment of adjustments) projects.add(adjustment.project_id)
      await lockProjectsForUsage(trx, [...projects])
      const counted = [
        ...(await countEvents(trx, events, nowMs)),
        ...(await countAdjustments(trx, adjustments, letters)),
      ].filter(isCounted)
      if (counted.length > 0) {
        const budgets = await listBudgetsOfProjects(trx, [...projects])
        const sums = sumByWindow(budgets, counted, findWindow)
        changed.copies = await addToWindows(trx, sums, nowMs)
        changed.cutoffs = await cutCrossed(trx, budgets, sums, changed.copies, nowMs)
      }
    }
    await insertDeadLetters(trx, letters, nowMs)
    await received.save()
    return {
      cutoffs: changed.cutoffs,
      copies: changed.copies.map(({ budgetId, copy }) => ({ budgetId, copy })),
      events: events.length,
      deadLetters: letters.length,
    }
  })
}

/** Locks the marks, and sorts out what is new. */
async function receiveMessages(trx: Transaction<BudgetTables>, messages: readonly UsageMessage[]) {
  const marks = await openMarks(trx, messages.flatMap(seriesOf))
  const events: UsageRecordedData[] = []
  const adjustments: (UsageAdjustedData & { letter: DeadLetter })[] = []
  const letters: DeadLetter[] = []
  const positions = new Map<string, number>()
  for (const message of messages) {
    for (const series of seriesOf(message)) positions.set(seriesKey(series), message.streamSeq)
    switch (message.kind) {
      case 'recorded': {
        const { range } = message
        const decoded = decodeEvents(message, marks.receive(range, range.first, range.last))
        events.push(...decoded.events)
        letters.push(...decoded.letters)
        break
      }
      case 'adjusted': {
        const { adjustment } = message
        const letter = letterOf(message, seriesKey(adjustmentSeries), adjustment.seq, JSON.stringify(adjustment))
        const isNew = marks.receive(adjustmentSeries, adjustment.seq, adjustment.seq).length > 0
        if (isNew) adjustments.push({ ...adjustment, letter })
        break
      }
      case 'epoch-closed':
        marks.close(message.closed)
        break
      case 'unreadable':
        letters.push({
          ...letterOf(message, undefined, undefined, new TextDecoder().decode(message.body)),
          reason: message.reason,
        })
    }
  }
  return {
    events,
    adjustments,
    letters,
    save: async () => {
      const gapFree = marks.changed().filter(({ last, contiguous }) => contiguous === last)
      const reached = gapFree.map(({ series }) => [seriesKey(series), positions.get(seriesKey(series)) ?? 0] as const)
      await advancePositions(trx, new Map(reached))
      await marks.save()
    },
  }
}

/** Facts of events that were never counted before, under any series or settlement. */
async function countEvents(
  trx: Transaction<BudgetTables>,
  events: readonly UsageRecordedData[],
  nowMs: number,
): Promise<Counted[]> {
  const settled = await takeSettlements(
    trx,
    events.flatMap(event =>
      event.settlement_key === undefined ? [] : [{ settlementKey: event.settlement_key, eventId: event.event_id }],
    ),
    nowMs,
  )
  const facts = new Map<string, SpendFact>()
  for (const event of events) {
    if (event.settlement_key === undefined || settled.has(event.event_id)) facts.set(event.event_id, factOf(event))
  }
  const inserted = await insertFacts(trx, [...facts.values()])
  return [...facts.values()].filter(fact => inserted.has(fact.eventId))
}

/** Facts brought to their newest version, and the differences. One of an event that is not kept is a dead letter. */
async function countAdjustments(
  trx: Transaction<BudgetTables>,
  adjustments: readonly (UsageAdjustedData & { letter: DeadLetter })[],
  letters: DeadLetter[],
): Promise<Counted[]> {
  const facts = await lockFacts(trx, adjustments)
  const counted: Counted[] = []
  for (const adjustment of adjustments) {
    const fact = facts.get(adjustment.event_id)
    if (!fact) {
      letters.push({ ...adjustment.letter, reason: 'adjusts an event that is not kept here' })
      continue
    }
    const adjusted = adjustFact(fact, adjustment)
    if (!adjusted) continue
    facts.set(adjustment.event_id, adjusted.fact)
    await updateFact(trx, adjusted.fact)
    counted.push({ dimensions: fact.dimensions, admittedAtMs: fact.admittedAtMs, amounts: adjusted.difference })
  }
  return counted
}

/** Writes the cutoffs of windows that have crossed their limit, in either direction. */
async function cutCrossed(
  trx: Transaction<BudgetTables>,
  budgets: readonly CountedBudget[],
  added: readonly WindowSum[],
  windows: readonly WindowSum[],
  nowMs: number,
): Promise<Cutoff[]> {
  const byId = new Map(budgets.map(budget => [budget.budget_id, budget]))
  const lowered = new Set(added.filter(sum => sum.amount < 0n).map(sum => cutoffKey(sum.budgetId, sum.copy)))
  // A window below its limit that has only grown cannot be cut: most batches ask nothing here.
  const suspects = windows.filter(window => {
    const budget = byId.get(window.budgetId)
    if (budget?.mode !== 'soft') return false
    return window.amount >= BigInt(budget.limit) || lowered.has(cutoffKey(window.budgetId, window.copy))
  })
  return decideAndSave(trx, byId, suspects, nowMs)
}

/** Decides for each window, and writes what changes, with KV's copy in the outbox. */
export async function decideAndSave(
  trx: Transaction<BudgetTables>,
  budgets: ReadonlyMap<string, CountedBudget>,
  windows: readonly WindowSum[],
  nowMs: number,
): Promise<Cutoff[]> {
  const held = await lockCutoffs(trx, windows)
  const changed: Cutoff[] = []
  for (const window of windows) {
    const budget = budgets.get(window.budgetId)
    const key = cutoffKey(window.budgetId, window.copy)
    const cutoff = budget && decideCutoff(budget, window, held.get(key), nowMs)
    if (!cutoff) continue
    held.set(key, cutoff)
    await saveCutoff(trx, cutoff, true)
    changed.push(cutoff)
  }
  await enqueue(
    trx,
    changed.map(cutoff => ({
      kind: 'kv-put',
      target: 'cutoffs',
      key: cutoff.cutoff_id,
      payload: Cutoff.encode(cutoff),
    })),
  )
  return changed
}

function seriesOf(message: UsageMessage): Series[] {
  switch (message.kind) {
    case 'recorded':
      return [message.range]
    case 'adjusted':
      return [adjustmentSeries]
    case 'epoch-closed':
      return seriesOfEpoch(message.closed)
    case 'unreadable':
      return []
  }
}

function letterOf(
  message: UsageMessage,
  series: string | undefined,
  number: number | undefined,
  payload: string,
): DeadLetter {
  return {
    streamSeq: message.streamSeq,
    subject: message.subject,
    series,
    first: number,
    last: number,
    reason: '',
    payload,
  }
}

function isCounted({ amounts }: Counted): boolean {
  return amounts.nanoUsd !== 0 || amounts.tokens !== 0 || amounts.requests !== 0
}
