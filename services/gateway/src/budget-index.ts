import {
  type Budget,
  type CallIdentity,
  type ClaimedDimensions,
  copyOfChosen,
  isPerChosen,
  splitTag,
  tagOf,
  tagOfPer,
  unclaimed,
} from '@sluice/contracts'

/** A budget copy that a call counts against. */
export interface MatchedBudget {
  budget: Budget
  /** Value of the `per` dimension; empty for a shared pool. */
  copy: string
  /** Of a budget with copies for what callers choose: what they say. */
  said?: SaidValues
}

/** What a call says of a dimension that its caller chooses. `copy` is one of these values, or the one that they share with all others. */
export interface SaidValues {
  /** One; of a batch, those of all of its requests that count in this copy. */
  values: readonly string[]
  /** When it was admitted. */
  atMs: number
}

/** Whether some request of what a budget counts in one copy is among those of the other. */
export function sharesValue(one: MatchedBudget, other: MatchedBudget): boolean {
  if (one.budget.budget_id !== other.budget.budget_id) return false
  if (!one.said || !other.said) return one.copy === other.copy
  const { values } = other.said
  return one.said.values.some(value => values.includes(value))
}

/** Scope dimensions from the narrowest to the widest: a budget is found under the first it names. */
const scopeDimensions = [
  'key',
  'participant',
  'member',
  'room',
  'service_account',
  'team',
  'project',
  'account',
] as const
type ScopeDimension = (typeof scopeDimensions)[number]

/** A budget, and what its scope names beside the dimension it is found under. */
interface IndexedBudget {
  budget: Budget
  others: readonly { dimension: ScopeDimension; value: string }[]
  /** Its scope names something that calls claim. */
  isByClaim: boolean
  /** It has a copy for each value of what callers choose, as far as they are told apart. */
  isPerChosen: boolean
}

/** Finds the budgets of a call: a look-up per dimension the call has, whatever the number of budgets. */
export class BudgetIndex {
  readonly #byDimension = new Map<ScopeDimension, Map<string, IndexedBudget[]>>(
    scopeDimensions.map(dimension => [dimension, new Map()]),
  )
  readonly #places = new Map<string, { budget: Budget; dimension: ScopeDimension; value: string; sinceMs: number }>()
  #version = 0

  /** Another one: calls may match other budgets than before. */
  get version(): number {
    return this.#version
  }

  /**
   * Adds a budget, or replaces it by its newer version. One without a scope counts nothing.
   * @param sinceMs when it was heard of first, as far as it is new
   */
  put(budget: Budget, sinceMs = 0): void {
    const known = this.#places.get(budget.budget_id)
    this.remove(budget.budget_id)
    this.#version++
    const [narrowest, ...others] = scopeDimensions.flatMap(dimension => {
      const value = budget.scope[dimension]
      return value === undefined ? [] : [{ dimension, value }]
    })
    if (!narrowest) return
    this.#places.set(budget.budget_id, { budget, ...narrowest, sinceMs: known?.sinceMs ?? sinceMs })
    const values = this.#byDimension.get(narrowest.dimension)
    const { app, session, agent, tag } = budget.scope
    const isByClaim = (app ?? session ?? agent ?? tag) !== undefined
    values?.set(narrowest.value, [
      ...(values.get(narrowest.value) ?? []),
      { budget, others, isByClaim, isPerChosen: isPerChosen(budget) },
    ])
  }

  /** Whether some call of this caller's project may count in a hard budget, whoever makes it and whatever it says of itself. */
  mayHold({ account_id: account, project_id: project }: CallIdentity): boolean {
    for (const { budget } of this.#places.values()) {
      const { mode, scope } = budget
      if (mode !== 'hard') continue
      if ((scope.project ?? project) === project && (scope.account ?? account) === account) return true
    }
    return false
  }

  find(budgetId: string): Budget | undefined {
    return this.#places.get(budgetId)?.budget
  }

  /** When a budget was heard of first; one that is not known: never. */
  sinceMs(budgetId: string): number {
    return this.#places.get(budgetId)?.sinceMs ?? -Infinity
  }

  remove(budgetId: string): void {
    const place = this.#places.get(budgetId)
    if (!place) return
    this.#version++
    this.#places.delete(budgetId)
    const values = this.#byDimension.get(place.dimension)
    const rest = (values?.get(place.value) ?? []).filter(({ budget }) => budget.budget_id !== budgetId)
    if (rest.length === 0) values?.delete(place.value)
    else values?.set(place.value, rest)
  }

  /** Whether calls of a caller that are alike may match otherwise: by what they say of themselves, or by which values have a copy. */
  mayDiffer(identity: CallIdentity): boolean {
    for (const dimension of scopeDimensions) {
      const value = dimensionOf(identity, dimension)
      const candidates = value === undefined ? undefined : this.#byDimension.get(dimension)?.get(value)
      if (candidates?.some(({ isByClaim, isPerChosen: isByChoice }) => isByClaim || isByChoice)) return true
    }
    return false
  }

  /**
   * Every budget copy whose scope the call is in. A call without the `per` dimension is in no copy of that budget, nor is one whose copy is
   * excepted. Of what callers choose, the copy is the value: whether it has one of its own, `BudgetState` knows.
   */
  match(identity: CallIdentity, provider: string, model: string, claimed: ClaimedDimensions): MatchedBudget[] {
    const matched: MatchedBudget[] = []
    for (const dimension of scopeDimensions) {
      const value = dimensionOf(identity, dimension)
      if (value === undefined) continue
      const candidates = this.#byDimension.get(dimension)?.get(value)
      if (!candidates) continue
      for (const candidate of candidates) {
        if (!isInScope(candidate, identity, provider, model)) continue
        if (candidate.isByClaim && !isClaimed(candidate.budget.scope, claimed)) continue
        const { budget } = candidate
        const copy = copyIn(budget.per, identity, model, claimed)
        if (copy !== undefined && !budget.except?.includes(copy)) matched.push({ budget, copy })
      }
    }
    return matched
  }
}

function isInScope(
  { budget, others }: IndexedBudget,
  identity: CallIdentity,
  provider: string,
  model: string,
): boolean {
  for (const { dimension, value } of others) if (dimensionOf(identity, dimension) !== value) return false
  const { scope } = budget
  return (
    (scope.provider === undefined || scope.provider === provider) &&
    (scope.model === undefined || scope.model === model)
  )
}

/** Whether a call is in a scope that names who calls, and of what calls claim only the app. */
export function isInCallerScope(scope: Budget['scope'], identity: CallIdentity, claimed: ClaimedDimensions): boolean {
  for (const dimension of scopeDimensions) {
    const value = scope[dimension]
    if (value !== undefined && dimensionOf(identity, dimension) !== value) return false
  }
  return isClaimed(scope, claimed)
}

function isClaimed({ app, session, agent, tag }: Budget['scope'], claimed: ClaimedDimensions): boolean {
  if (app !== undefined && (claimed.app ?? unclaimed) !== app) return false
  if (session !== undefined && (claimed.session_id ?? unclaimed) !== session) return false
  if (agent !== undefined && (claimed.agent_id ?? unclaimed) !== agent) return false
  if (tag === undefined) return true
  const { name, value } = splitTag(tag)
  return tagOf(claimed.tags, name) === value
}

function copyIn(
  per: Budget['per'],
  identity: CallIdentity,
  model: string,
  claimed: ClaimedDimensions,
): string | undefined {
  switch (per) {
    case undefined:
      return ''
    case 'model':
      return copyOfChosen(model)
    case 'app':
      return copyOfChosen(claimed.app)
    case 'session':
      return copyOfChosen(claimed.session_id)
    case 'agent':
      return copyOfChosen(claimed.agent_id)
    case 'project':
    case 'team':
    case 'member':
    case 'room':
    case 'key':
    case 'service_account':
    case 'participant':
      return dimensionOf(identity, per)
    default:
      return copyOfChosen(tagOf(claimed.tags, tagOfPer(per) ?? ''))
  }
}

function dimensionOf(identity: CallIdentity, dimension: ScopeDimension): string | undefined {
  switch (dimension) {
    case 'key':
      return identity.key_id
    case 'participant':
      return identity.participant
    case 'member':
      return identity.member_id
    case 'room':
      return identity.room
    case 'service_account':
      return identity.service_account_id
    case 'team':
      return identity.team_id
    case 'project':
      return identity.project_id
    case 'account':
      return identity.account_id
  }
}
