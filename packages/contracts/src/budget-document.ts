import type { Static } from 'typebox'
import { defineDocument } from './define-event.ts'
import { Id, UnixMs } from './ids.ts'
import { Type } from './type.ts'

/**
 * What a budget may be scoped to. Every one that is named must match. What calls claim of themselves (app, session, agent, tag) stands
 * beside what is signed, never alone: whoever claims something else is in no such budget, but in those above it.
 */
export const BudgetScope = Type.Partial(
  Type.Object({
    account: Id,
    project: Type.String(),
    team: Type.String(),
    member: Type.String(),
    room: Type.String(),
    key: Type.String(),
    service_account: Type.String(),
    participant: Type.String(),
    model: Type.String(),
    provider: Type.String(),
    app: Type.String(),
    session: Type.String(),
    agent: Type.String(),
    /** `name=value` */
    tag: Type.String(),
  }),
)
export type BudgetScope = Static<typeof BudgetScope>

/** The dimensions of a scope that calls claim of themselves, tags aside. A call that says nothing is `unknown`. */
export const claimedScopeDimensions = ['app', 'session', 'agent'] as const
export const unclaimed = 'unknown'

/** The name and the value of a scope's `tag`. */
export function splitTag(tag: string): { name: string; value: string } {
  const at = tag.indexOf('=')
  return { name: tag.slice(0, at), value: tag.slice(at + 1) }
}

/** What a call says under the name of a tag; undefined: nothing. Names are its caller's, so nothing but own members count. */
export function tagOf(tags: Readonly<Record<string, string>> | undefined, name: string): string | undefined {
  return tags !== undefined && Object.hasOwn(tags, name) ? tags[name] : undefined
}

export const budgetWindows = ['minute', 'hour', 'day', 'week', 'month', 'quarter', 'total'] as const
export const budgetUnits = ['usd', 'tokens', 'requests', 'concurrent'] as const
export const budgetModes = ['hard', 'soft', 'alert'] as const
/**
 * `exact`: all that a call can use is held before it leaves. `paced`: where money is short, what a stream will use next, and more
 * as it goes on.
 */
export const holdPolicies = ['exact', 'paced'] as const
/** What only whoever mints credentials gives: every value has a copy. */
const signedPerDimensions = ['project', 'team', 'member', 'room', 'key', 'service_account', 'participant'] as const
/** What whoever calls writes as they like; tags, too. */
export const chosenPerDimensions = ['model', ...claimedScopeDimensions] as const
export const perDimensions = [...signedPerDimensions, ...chosenPerDimensions] as const
export type PerDimension = (typeof perDimensions)[number] | `tag:${string}`
/** `tag:` and the name of a tag. */
export const perTagPattern = "^tag:[a-z0-9!#$%&'*+.^_`|~-]{1,64}$"

/**
 * So many values of what callers choose are told apart in one window of a budget: they have a copy each, and all others share
 * {@link otherCopy}. Whoever invents values gets no more than so many limits and one. Who says nothing is {@link unclaimed}: that copy is
 * there for everybody, beside those.
 */
export const mostToldApart = 1_000
export const otherCopy = 'other'
/** No copy has a longer name, in UTF-8: what is longer, or no text that a database keeps, is one of the others. */
export const mostCopyBytes = 1_024

/** Whether a budget has copies for what callers choose. */
export function isPerChosen({ per }: { per?: PerDimension | undefined }): boolean {
  return per !== undefined && (per.startsWith('tag:') || chosenNames.has(per))
}
const chosenNames: ReadonlySet<string> = new Set(chosenPerDimensions)

/** Whether a copy of such a budget is there without one of the {@link mostToldApart} places. */
export function isPlaceless(copy: string): boolean {
  return copy === otherCopy || copy === unclaimed
}

/** The tag whose values have a copy each; undefined: it is no tag. */
export function tagOfPer(per: PerDimension | undefined): string | undefined {
  return per?.startsWith('tag:') ? per.slice('tag:'.length) : undefined
}

/** What a call says of what its caller chooses, as the name of a copy. @param said undefined: nothing */
export function copyOfChosen(said: string | undefined): string {
  if (said === undefined || said === '') return unclaimed
  if (!said.isWellFormed() || said.includes('\0')) return otherCopy
  return said.length > mostCopyBytes / 4 && new TextEncoder().encode(said).length > mostCopyBytes ? otherCopy : said
}

export const BudgetSchema = Type.Object({
  budget_id: Id,
  version: Type.Integer({ minimum: 1 }),
  name: Type.String({ minLength: 1, maxLength: 128 }),
  account_id: Id,
  scope: BudgetScope,
  /** One copy of the budget per value of this dimension, or of a tag; absent: one shared pool. */
  per: Type.Optional(
    Type.Union([
      Type.Enum([...perDimensions]),
      Type.Unsafe<`tag:${string}`>({ type: 'string', pattern: perTagPattern }),
    ]),
  ),
  /** Copies that no call meets: a budget of their own stands in their place. */
  except: Type.Optional(Type.Array(Type.String())),
  unit: Type.Enum([...budgetUnits]),
  /** nano-USD for `usd`, else a count. */
  limit: Type.Integer({ minimum: 0 }),
  window: Type.Enum([...budgetWindows]),
  /** IANA name. */
  time_zone: Type.String(),
  mode: Type.Enum([...budgetModes]),
  /** Of `hard` budgets; absent: `paced`. */
  hold: Type.Optional(Type.Enum([...holdPolicies])),
  on_unknown: Type.Union([Type.Literal('deny'), Type.Object({ allow_up_to: Type.Integer({ minimum: 0 }) })]),
  created_at_ms: UnixMs,
})

/** A budget as gateways see it, in KV `budgets` under its id. */
export const Budget = defineDocument('budget', BudgetSchema)
export type Budget = Static<typeof BudgetSchema>

export const BudgetWindowSchema = Type.Object({
  budget_id: Id,
  copy: Type.String(),
  window_start_ms: UnixMs,
  /** Absent for `total`. */
  window_end_ms: Type.Optional(UnixMs),
  spent: Type.Integer(),
  held: Type.Integer(),
  limit: Type.Integer(),
  /** Of the copy {@link otherCopy}: as many values are told apart in this window as may be, and all that have no window count here. */
  full: Type.Optional(Type.Literal(true)),
  updated_at_ms: UnixMs,
})

/** What a budget copy has spent in its current window, in KV `budget-windows` under `cutoffKey(budget, copy)`. */
export const BudgetWindow = defineDocument('budget window', BudgetWindowSchema)
export type BudgetWindow = Static<typeof BudgetWindowSchema>
