import { type Bus, followBucket, subscribe } from '@sluice/bus'
import {
  Budget,
  BudgetCutoff,
  BudgetReleased,
  BudgetWindow,
  type CallIdentity,
  type ClaimedDimensions,
  Cutoff,
  copyOfKey,
  otherCopy,
  Stop,
} from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { BudgetIndex, isInCallerScope, type MatchedBudget } from '../budget-index.ts'
import type { RunningBudgets } from '../live-calls.ts'
import { BudgetState, type MetBudgets, MetByCaller } from '../met-budgets.ts'

/**
 * Budgets, what they have spent, the cutoffs and the stops, in memory, from KV `budgets`, `budget-windows`, `cutoffs` and `stops`. Cutoffs also
 * come by push, whichever is first; the newer version wins. While NATS is away cutoffs hold until their window ends.
 */
export interface BudgetsView {
  /** Every budget copy whose scope this call is in. */
  match: (identity: CallIdentity, provider: string, model: string, claimed: ClaimedDimensions) => MatchedBudget[]
  /** The same, with what is known of them: found once for calls that follow one another alike. */
  meet: (
    identity: CallIdentity,
    provider: string,
    model: string,
    claimed: ClaimedDimensions,
    nowMs: number,
  ) => MetBudgets
  /** A home has said that a value shares the copy of all others, in a window that ends then. */
  noteOther: (budgetId: string, value: string, windowEndMs: number | undefined, nowMs: number) => void
  /** Whether some call of this caller's project may count in a hard budget. */
  mayHold: (identity: CallIdentity) => boolean
  /** The cutoff in force for a budget copy now. */
  findCutoff: (budgetId: string, copy: string, nowMs: number) => Cutoff | undefined
  findWindow: (budgetId: string, copy: string, nowMs: number) => BudgetWindow | undefined
  find: (budgetId: string) => Budget | undefined
  /** The stop that this call is in: an admin's, else that of a balance that is used up. */
  findStop: (identity: CallIdentity, claimed: ClaimedDimensions) => Stop | undefined
  freshAtMs: () => number
  close: () => Promise<void>
}

export interface BudgetsListeners {
  /** A cutoff has come into force. */
  onCutoff: (cutoff: Cutoff, running: RunningBudgets) => void
  onStop: (stop: Stop) => void
}

export async function followBudgets(
  bus: Bus,
  log: Logger,
  { onCutoff, onStop }: BudgetsListeners,
): Promise<BudgetsView> {
  const index = new BudgetIndex()
  const states = new Map<string, BudgetState>()
  const stateOf = (budgetId: string): BudgetState => {
    let state = states.get(budgetId)
    if (!state) {
      state = new BudgetState()
      states.set(budgetId, state)
    }
    return state
  }
  const met = new MetByCaller(index, stateOf)

  const running: RunningBudgets = {
    copyOf: matched => states.get(matched.budget.budget_id)?.copyOfRunning(matched, Date.now()) ?? matched.copy,
    madeLater: (budgetId, { identity, claimed, asked }) =>
      // Most budgets are older than the calls that run.
      asked && asked.admittedAtMs <= index.sinceMs(budgetId)
        ? met
            .match(identity, asked.match.dialect, asked.requestedModel, claimed, Date.now())
            .find(({ budget }) => budget.budget_id === budgetId)
        : undefined,
  }
  const applyCutoff = (cutoff: Cutoff): void => {
    if (stateOf(cutoff.budget_id).cutOff(cutoff) && cutoff.active) onCutoff(cutoff, running)
  }

  const budgetsView = await followBucket(bus, 'budgets', Budget, {
    log,
    onChange: (budgetId, budget) => {
      if (budget) {
        const isNew = index.find(budgetId) === undefined
        const nowMs = Date.now()
        index.put(budget, nowMs)
        // They may have come first, when it was not known whom they end.
        if (isNew) for (const cutoff of states.get(budgetId)?.cutoffsNow(nowMs) ?? []) onCutoff(cutoff, running)
        return
      }
      index.remove(budgetId)
      states.delete(budgetId)
    },
  })
  const pushes = [
    subscribe(bus, BudgetCutoff, BudgetCutoff.subject(), applyCutoff, log),
    subscribe(bus, BudgetReleased, BudgetReleased.subject(), applyCutoff, log),
  ]
  const cutoffsView = await followBucket(bus, 'cutoffs', Cutoff, {
    log,
    onChange: (key, cutoff) => {
      if (cutoff) {
        applyCutoff(cutoff)
        return
      }
      const gone = copyOfKey(key)
      if (gone) states.get(gone.budgetId)?.forgetCutoff(gone.copy)
    },
  })
  /** By project, and in it by id. */
  const stops = new Map<string, Map<string, Stop>>()
  const projectOfStop = new Map<string, string>()
  const stopsView = await followBucket(bus, 'stops', Stop, {
    log,
    onChange: (stopId, stop) => {
      const before = projectOfStop.get(stopId)
      if (before !== undefined) {
        stops.get(before)?.delete(stopId)
        if (stops.get(before)?.size === 0) stops.delete(before)
        projectOfStop.delete(stopId)
      }
      const project = stop?.scope.project
      if (!stop || project === undefined) return
      stops.set(project, (stops.get(project) ?? new Map<string, Stop>()).set(stopId, stop))
      projectOfStop.set(stopId, project)
      onStop(stop)
    },
  })
  const showWindow = (window: BudgetWindow): void => {
    const nowMs = Date.now()
    const state = stateOf(window.budget_id)
    const wasFull = state.findFull(nowMs) !== undefined
    state.show(window)
    if (wasFull || !state.findFull(nowMs)) return
    // Its cutoff has come first, when it was not known whose it is.
    const cutoff = state.findCutoff(otherCopy, nowMs)
    if (cutoff) onCutoff(cutoff, running)
  }
  const windowsView = await followBucket(bus, 'budget-windows', BudgetWindow, {
    log,
    onChange: (key, window) => {
      if (window) {
        showWindow(window)
        return
      }
      const gone = copyOfKey(key)
      if (gone) states.get(gone.budgetId)?.forget(gone.copy)
    },
  })

  return {
    match: (identity, provider, model, claimed) => met.match(identity, provider, model, claimed, Date.now()),
    noteOther: (budgetId, value, windowEndMs, nowMs) => stateOf(budgetId).noteOther(value, windowEndMs, nowMs),
    mayHold: identity => index.mayHold(identity),
    meet: (identity, provider, model, claimed, nowMs) => met.meet(identity, provider, model, claimed, nowMs),
    findCutoff: (budgetId, copy, nowMs) => states.get(budgetId)?.findCutoff(copy, nowMs),
    findWindow: (budgetId, copy, nowMs) => states.get(budgetId)?.findWindow(copy, nowMs),
    find: budgetId => index.find(budgetId),
    findStop(identity, claimed) {
      const ofProject = stops.get(identity.project_id)
      if (!ofProject) return undefined
      let unpaid: Stop | undefined
      for (const stop of ofProject.values()) {
        if (!isInCallerScope(stop.scope, identity, claimed)) continue
        if (stop.kind === undefined) return stop
        unpaid = stop
      }
      return unpaid
    },
    freshAtMs: () => Math.min(budgetsView.freshAtMs(), cutoffsView.freshAtMs(), stopsView.freshAtMs()),
    close: async () => {
      await Promise.all([...pushes, budgetsView, cutoffsView, stopsView, windowsView].map(resource => resource.close()))
    },
  }
}
