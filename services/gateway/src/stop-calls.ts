import type { Cutoff, Stop } from '@sluice/contracts'
import { isInCallerScope } from './budget-index.ts'
import { refusalOfCutoff, refusalOfStop } from './hold-budget.ts'
import type { LiveCall, LiveCalls, RunningBudgets } from './live-calls.ts'
import { isRateLimit } from './rate-limit.ts'
import { Refusal } from './refusal.ts'
import { type RoomDeps, refusalOfRoom, roomClosed } from './room-access.ts'
import type { RoomState } from './views/rooms-view.ts'

/** Whether it ends what runs: a rate limit keeps the next call out and no more. */
export function endsCalls(cutoff: Cutoff): boolean {
  return !isRateLimit(cutoff) || cutoff.reason === 'stopped_by_admin'
}

/** Money is gone: streams end softly, in their dialect. A rate limit ends none. @returns how many calls were ended; so do the others here */
export function cutBudget(calls: LiveCalls, cutoff: Cutoff, running: RunningBudgets): number {
  if (!endsCalls(cutoff)) return 0
  const style = cutoff.reason === 'budget_spent' ? 'soft' : 'explicit'
  return calls.cutBudget(cutoff, budget => ({ refusal: refusalOfCutoff(cutoff, budget), style }), running)
}

/** An admin has stopped who calls in a scope, or the money of their prepaid project is gone: that ends streams softly, and those alone that it pays for. */
export function cutStopped(calls: LiveCalls, stop: Stop): number {
  return calls.cutWhere(
    ({ identity, claimed, isCharged }) =>
      (isCharged || stop.kind !== 'balance_exhausted') && isInCallerScope(stop.scope, identity, claimed),
    () => ({ refusal: refusalOfStop(stop), style: stop.kind === undefined ? 'explicit' : 'soft' }),
  )
}

/** A key was revoked or suspended: every call with it, or with a token it signed, ends with an error. */
export function cutKey(calls: LiveCalls, keyId: string): number {
  const refusal = new Refusal(
    'credential_revoked',
    'The key of this call has been revoked or suspended. Use another credential.',
  )
  return calls.cutWhere(
    call => call.identity.key_id === keyId,
    () => ({ refusal, style: 'explicit' }),
  )
}

/** A project was disabled or deleted. */
export function cutProject(calls: LiveCalls, projectId: string): number {
  const refusal = new Refusal('project_disabled', 'The project of this call has been disabled. Ask its owner.')
  return calls.cutWhere(
    call => call.identity.project_id === projectId,
    () => ({ refusal, style: 'explicit' }),
  )
}

/** A room was closed, or somebody is no member of it any more, or may call no model in it. */
export function cutRoom(
  calls: LiveCalls,
  keys: RoomDeps['keys'],
  { projectId, room, state }: { projectId: string; room: string; state: RoomState },
): number {
  const refusalOf = ({ identity }: LiveCall): Refusal | undefined =>
    identity.room === room && identity.project_id === projectId ? refusalOfRoom(state, identity, keys) : undefined
  return calls.cutWhere(
    call => refusalOf(call) !== undefined,
    call => ({ refusal: refusalOf(call) ?? roomClosed(room), style: 'explicit' }),
  )
}

/** This process has to go and the calls have had their time. */
export function endAllCalls(calls: LiveCalls): number {
  const refusal = new Refusal('shutting_down', 'This gateway had to shut down. Try again: another one will answer.', {
    retryAfterS: 1,
  })
  return calls.cutWhere(
    () => true,
    () => ({ refusal, style: 'explicit' }),
  )
}
