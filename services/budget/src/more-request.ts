import type { Actor } from './audit-store.ts'
import type { CountedBudget } from './budget.ts'

/** Whoever asks for more: by a key, or signed in. */
export interface Asker {
  by: Actor
  accountId: string
  projectId: string
  /** Absent: signed in. */
  keyId?: string | undefined
  keyName?: string | undefined
  memberId?: string | undefined
  serviceAccountId?: string | undefined
  /** Whose token it is that the key has signed, where they sent no more than that. */
  participant?: { name: string; room?: string | undefined } | undefined
  /** Teams that may pay for their calls; undefined: not known. */
  teamIds?: readonly string[] | undefined
}

/** Somebody has asked for more of a budget. */
export interface MoreRequest {
  requestId: string
  projectId: string
  budgetId: string
  /** Under what the budget was made; undefined: it spans the projects of its account. */
  budgetProjectId: string | undefined
  budgetName: string
  unit: CountedBudget['unit']
  /** The copy that said no; empty: the shared pool, or not known. */
  copy: string
  by: Actor
  memberId: string | undefined
  /** What the key is called; undefined: a person has asked. */
  keyName: string | undefined
  /** Whose token of that key it was; undefined: the key itself has asked, or a person. */
  participant: string | undefined
  room: string | undefined
  amount: bigint
  reason: string
  createdAtMs: number
  decided: Decision | undefined
}

/** What became of a request. */
export interface Decision {
  by: Actor
  atMs: number
  /** To whoever has asked. */
  word: string | undefined
  /** Undefined: nothing. */
  granted: { raiseId: string; amount: bigint; untilMs: number } | undefined
}

/**
 * The copy of a budget that calls of somebody can meet, empty where that is not known; undefined: they cannot meet it, as far as is
 * known of them, and ask for nothing of others.
 */
export function copyAskedFor(budget: CountedBudget, asker: Asker): string | undefined {
  const { scope, per } = budget
  const own = { project: asker.projectId, account: asker.accountId, key: asker.keyId, member: asker.memberId } as const
  for (const name of ['project', 'account', 'key', 'member'] as const)
    if (scope[name] !== undefined && scope[name] !== own[name]) return undefined
  if (scope.service_account !== undefined && scope.service_account !== asker.serviceAccountId) return undefined
  if (scope.team !== undefined && asker.teamIds && !asker.teamIds.includes(scope.team)) return undefined
  // Whoever holds a key signs tokens for any name and any room; whoever has a token has those of the token.
  const { participant } = asker
  if (participant && scope.participant !== undefined && scope.participant !== participant.name) return undefined
  if (participant && scope.room !== undefined && scope.room !== participant.room) return undefined
  switch (per) {
    case 'participant':
      return participant?.name ?? ''
    case 'room':
      return participant ? participant.room : ''
    case 'project':
    case 'key':
    case 'member':
      return budget.except?.includes(own[per] ?? '') ? undefined : (own[per] ?? '')
    case 'service_account':
      return asker.serviceAccountId ?? ''
    default:
      return ''
  }
}
