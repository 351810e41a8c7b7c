import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RealtimeCall } from '@sluice/contracts'
import { MetBudgets } from '../met-budgets.ts'
import { Refusal } from '../refusal.ts'
import type { RoomState } from '../views/rooms-view.ts'
import { type CallDeps, principalOfCall } from './call-record.ts'

const call = {
  identity: { account_id: 'a', project_id: 'p', team_id: 't', key_id: 'k', credential_kind: 'key', room: 'lobby' },
  by_client_secret: false,
  model: 'gpt-realtime',
  model_lists: [],
} as unknown as RealtimeCall

/** What a gateway answers that takes this call over: the reason of its no. */
function reasonOf({
  mayCall = true,
  room,
  unknown_rooms,
}: {
  mayCall?: boolean
  room?: RoomState
  unknown_rooms?: string
}) {
  const deps = {
    keys: { findById: () => ({ key: { project_id: 'p' }, mayCall }) },
    projects: { find: () => ({ project_id: 'p', unknown_rooms }) },
    rooms: { find: () => room },
    budgets: { meet: () => new MetBudgets([], []), findStop: () => undefined },
  } as unknown as CallDeps
  try {
    principalOfCall(deps, call)
    return undefined
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return error.reason
  }
}

test('a call is taken over only while its maker may call, and its room takes it', () => {
  assert.equal(reasonOf({}), undefined)
  assert.equal(reasonOf({ room: 'open' }), undefined)
  assert.equal(reasonOf({ mayCall: false }), 'llm_not_granted')
  assert.equal(reasonOf({ room: 'closed' }), 'room_closed')
  assert.equal(reasonOf({ unknown_rooms: 'deny' }), 'room_unknown')
})
