import { allowModel } from '../allow-model.ts'
import { type MatchedBudget, sharesValue } from '../budget-index.ts'
import type { AdmittedCall } from '../call.ts'
import { holdBudget } from '../hold-budget.ts'
import { type Hold, nothingHeld } from '../met-budgets.ts'
import { allowNamedModels } from '../named-models/allow-named-models.ts'
import { uniteCopies } from '../paid-hold.ts'
import type { ReplyShapeName } from '../reply-reader.ts'
import type { AuthenticatedCall, GatewayDeps } from '../request-path.ts'
import type { BatchRequests } from './batch-requests.ts'

/**
 * Admits the requests of a batch: each of the models that they name must be allowed and priced, and no budget that one of them counts
 * against may be spent.
 * @param shape of their replies: what they need a price for
 * @throws Refusal
 */
export function admitRequests(
  deps: GatewayDeps,
  call: AuthenticatedCall,
  admitted: AdmittedCall,
  { models, named }: Pick<BatchRequests, 'models' | 'named'>,
  shape: ReplyShapeName,
): AdmittedCall {
  const { principal, prices, match, route, admittedAtMs: nowMs } = admitted
  for (const model of models) {
    call.onModel(model)
    allowModel(principal, match.dialect, model, prices, shape)
  }
  allowNamedModels(principal, match.dialect, named, prices, shape)
  const holds = models.map(model => {
    call.onModel(model)
    return holdBudget(deps, principal, match.dialect, model, call.headers.claimed, nowMs, route.access)
  })
  const [only = ''] = models
  const hold = joinHolds(holds, models)
  return {
    ...admitted,
    requestedModel: models.length === 1 ? only : '',
    hold,
  }
}

/** One hold for the whole batch. */
export function joinHolds(holds: readonly Hold[], models: readonly string[]): Hold {
  const [first, ...rest] = holds
  if (!first) return nothingHeld
  const windows = new Map<string, Hold['windows'][number]>()
  for (const hold of holds)
    for (const [at, matched] of hold.budgets.entries()) {
      const window = hold.windows[at]
      if (window) windows.set(keyOf(matched), window)
    }
  const budgets = uniteCopies(holds.flatMap(hold => hold.budgets))
  return {
    budgets,
    windows: budgets.flatMap(matched => windows.get(keyOf(matched)) ?? []),
    hasRates: holds.some(hold => hold.hasRates),
    hard: budgets.filter(({ budget }) => budget.mode === 'hard' && !isByMinute(budget)).sort(byId),
    urgent: holds.some(hold => hold.urgent),
    tightest: [first, ...rest].find(hold => hold.tightest)?.tightest,
    modelsOf: matched => {
      const counted = models.filter((_, at) => holds[at]?.hard.some(each => sharesValue(each, matched)))
      return counted.length === models.length ? undefined : counted
    },
  }
}

/** Its requests are made over a day, by the provider: no minute has room for them, and none has to. What they cost is held all the same. */
function isByMinute({ unit, window }: MatchedBudget['budget']): boolean {
  return window === 'minute' && (unit === 'requests' || unit === 'tokens')
}

function keyOf({ budget, copy }: MatchedBudget): string {
  return `${budget.budget_id} ${copy}`
}

function byId(a: MatchedBudget, b: MatchedBudget): number {
  return a.budget.budget_id < b.budget.budget_id ? -1 : 1
}
