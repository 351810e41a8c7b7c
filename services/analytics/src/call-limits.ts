import {
  type Budget,
  isPerChosen,
  type MetBudgets,
  type MetBudgetsRequest,
  splitTag,
  tagOfPer,
} from '@sluice/contracts'
import type { Call } from './call.ts'
import { formatUsd } from './exact-json.ts'
import { fromClickhouseTime, readHeldMoney, type UsageRow } from './usage-row.ts'

/** What a limit made of a call: the limits that it met all say `passed`, but the one that gave it less or none. */
type Verdict = 'passed' | 'clamped' | 'cut' | 'refused'

/** The dimensions of a call that its budgets are found by; undefined: no valid credential came with it. */
export function metBudgetsRequest({ attempts, refusals }: Call): MetBudgetsRequest | undefined {
  const [row] = attempts
  const [refusal] = refusals
  const known = row ?? refusal
  if (!known || known.account_id === '') return undefined
  const times = [
    ...attempts.flatMap(({ admitted_at, finished_at }) => [admitted_at, finished_at]),
    ...refusals.map(({ refused_at }) => refused_at),
  ].map(fromClickhouseTime)
  const optional = <Name extends string>(name: Name, text: string) => (text === '' ? {} : { [name]: text })
  return {
    identity: {
      account_id: known.account_id,
      project_id: known.project_id,
      team_id: known.team_id,
      credential_kind: known.credential_kind as MetBudgetsRequest['identity']['credential_kind'],
      ...optional('member_id', known.member_id),
      ...optional('service_account_id', known.service_account_id),
      ...optional('key_id', known.key_id),
      ...optional('room', known.room),
      ...optional('participant', known.participant),
    },
    claimed: {
      ...optional('app', known.app),
      ...optional('session_id', known.session_id),
      ...optional('agent_id', known.agent_id),
      tags: known.tags,
    },
    provider: row?.provider ?? refusal?.dialect ?? '',
    model: known.requested_model,
    admitted_at_ms: Math.min(...times),
    ended_at_ms: Math.max(...times),
  }
}

/**
 * The budgets, rate limits and stops that a call met, and what each made of it.
 * @param met as the budget service says; undefined: it did not answer, and what the call itself tells is all
 */
export function explainLimits(call: Call, met: MetBudgets | undefined) {
  const said = verdicts(call)
  const copies = met?.budgets.flatMap(one => copiesOf(call, one, said)) ?? []
  const budgets = copies.map(one => explainBudget(call, one, said))
  const stops = (met?.stops ?? []).map(({ stop_id, scope, reason, at_ms }) => ({
    stop_id,
    scope_in_words: scopeInWords(scope),
    reason,
    stopped_at: new Date(at_ms).toISOString(),
    verdict: call.refusals.some(refusal => refusal.stop_id === stop_id)
      ? ('refused' as const)
      : call.attempts.some(({ cut_reason }) => cut_reason === 'stopped_by_admin')
        ? ('cut' as const)
        : ('passed' as const),
  }))
  return { complete: met !== undefined, budgets, stops, said_no: whatSaidNo(call) }
}

/**
 * The copies of a budget that a call met. Of what callers choose, the call knows them better than whoever asks later which values were
 * told apart: those that it held money of, and that said no.
 */
function copiesOf(
  call: Call,
  met: MetBudgets['budgets'][number],
  said: ReturnType<typeof verdicts>,
): MetBudgets['budgets'] {
  const { budget } = met
  if (!isPerChosen(budget)) return [met]
  const known = new Set<string>()
  for (const [budgetId, copy] of call.attempts.flatMap(readHeldMoney))
    if (budgetId === budget.budget_id) known.add(copy)
  for (const { budgetId, copy } of said.values()) if (budgetId === budget.budget_id) known.add(copy)
  if (known.size === 0 || (known.size === 1 && known.has(met.copy))) return [met]
  const { spent_before: _ofAnother, ...rest } = met
  return [...known].map(copy => (copy === met.copy ? met : { ...rest, copy }))
}

function explainBudget(call: Call, met: MetBudgets['budgets'][number], said: ReturnType<typeof verdicts>) {
  const { budget, copy, spent_before } = met
  const amount = (value: bigint) => (budget.unit === 'usd' ? formatUsd(value) : value.toString())
  const held = heldOf(call, met)
  const isHard = budget.mode === 'hard'
  const left = spent_before === undefined ? undefined : BigInt(budget.limit) - BigInt(spent_before)
  return {
    kind: isRateLimit(budget) ? ('rate limit' as const) : ('budget' as const),
    budget_id: budget.budget_id,
    name: budget.name,
    copy: copy === '' ? null : copy,
    scope_in_words: `${scopeInWords(budget.scope)}${budget.per === undefined ? '' : `, each ${spokenPer(budget.per)} by itself`}`,
    mode: budget.mode,
    hold: isHard ? (budget.hold ?? 'paced') : null,
    unit: budget.unit,
    window: budget.window,
    window_started_at: new Date(met.window_start_ms).toISOString(),
    resets_at: met.window_end_ms === undefined ? null : new Date(met.window_end_ms).toISOString(),
    limit: amount(BigInt(budget.limit)),
    spent_before: spent_before === undefined ? null : amount(BigInt(spent_before)),
    left_before: left === undefined ? null : amount(left > 0n ? left : 0n),
    held: held === undefined ? null : amount(held.held),
    counted: budget.unit === 'concurrent' ? null : amount(held?.settled ?? usedIn(budget.unit, call.attempts)),
    verdict: said.get(keyOf(budget.budget_id, copy))?.verdict ?? ('passed' as const),
  }
}

/** What a call held of a budget in all of its attempts; undefined: nothing. Settled is undefined where its events do not say. */
function heldOf(call: Call, { budget, copy }: MetBudgets['budgets'][number]) {
  const money = call.attempts
    .flatMap(readHeldMoney)
    .filter(([budgetId, ofCopy]) => budgetId === budget.budget_id && ofCopy === copy)
  if (money.length === 0) return undefined
  const isToldAll = money.every(([, , , , settled]) => settled !== null)
  return {
    held: money.reduce((sum, [, , , held]) => sum + BigInt(held), 0n),
    settled: isToldAll ? money.reduce((sum, [, , , , settled]) => sum + BigInt(settled ?? 0), 0n) : undefined,
  }
}

/** What attempts count for in a budget: seats pay no money, and what never reached a provider is no request. */
function usedIn(unit: Budget['unit'], attempts: readonly UsageRow[]): bigint {
  const of = (row: UsageRow): bigint => {
    switch (unit) {
      case 'usd':
        return row.paid_by === 'seat' ? 0n : BigInt(row.cost_nano_usd)
      case 'tokens':
        return tokensOf(row)
      case 'requests':
        return row.status === 'failed' && row.http_status === 0 && tokensOf(row) === 0n ? 0n : 1n
      case 'concurrent':
        return 0n
    }
  }
  return attempts.reduce((sum, row) => sum + of(row), 0n)
}

function tokensOf(row: UsageRow): bigint {
  return BigInt(row.input_tokens) + BigInt(row.output_tokens)
}

interface RefusingBudget {
  budget_id: string
  copy: string
}

function verdicts({ attempts, refusals }: Call): Map<string, { budgetId: string; copy: string; verdict: Verdict }> {
  const said = new Map<string, { budgetId: string; copy: string; verdict: Verdict }>()
  const say = (budgetId: string, copy: string, verdict: Verdict) =>
    said.set(keyOf(budgetId, copy), { budgetId, copy, verdict })
  for (const row of attempts) {
    if (row.clamped_budget_id !== '') say(row.clamped_budget_id, row.clamped_copy, 'clamped')
    if (row.cut_budget_id !== '') say(row.cut_budget_id, row.cut_copy, 'cut')
  }
  for (const row of refusals) {
    const budget = JSON.parse(row.budget) as RefusingBudget | null
    if (budget) say(budget.budget_id, budget.copy, 'refused')
  }
  return said
}

/** The last no, in the words of who said it; null: there was none. */
function whatSaidNo({ attempts, refusals }: Call) {
  const refusal = refusals.at(-1)
  if (refusal) {
    const budget = JSON.parse(refusal.budget) as RefusingBudget | null
    return {
      reason: refusal.reason,
      budget_id: budget?.budget_id ?? null,
      stop_id: refusal.stop_id === '' ? null : refusal.stop_id,
      message: refusal.message === '' ? null : refusal.message,
    }
  }
  const cut = attempts.findLast(({ cut_reason }) => cut_reason !== '')
  if (!cut) return null
  return {
    reason: cut.cut_reason,
    budget_id: cut.cut_budget_id === '' ? null : cut.cut_budget_id,
    stop_id: null,
    message: null,
  }
}

function keyOf(budgetId: string, copy: string): string {
  return `${budgetId} ${copy}`
}

function isRateLimit({ unit, window }: Budget): boolean {
  return unit === 'concurrent' || (window === 'minute' && unit !== 'usd')
}

/** `calls of team team_a with app codex`; what it does not name is not limited. */
function scopeInWords({ account: _account, project, tag, ...scope }: Budget['scope']): string {
  const named = Object.entries(scope).flatMap(([name, value]) => {
    return value === undefined ? [] : [`${spoken(name)} ${value}`]
  })
  if (tag !== undefined) named.push(`tag ${splitTag(tag).name} = ${splitTag(tag).value}`)
  if (named.length > 0) return `calls of ${named.join(', ')}`
  return project === undefined ? 'all calls of the account' : 'all calls of the project'
}

/** `service account`, `value of tag ticket` */
function spokenPer(per: NonNullable<Budget['per']>): string {
  const tag = tagOfPer(per)
  return tag === undefined ? spoken(per) : `value of tag ${tag}`
}

function spoken(name: string): string {
  return name.replaceAll('_', ' ')
}
