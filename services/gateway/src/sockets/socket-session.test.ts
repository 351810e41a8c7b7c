import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type WebSocket from 'ws'
import { LiveCalls } from '../live-calls.ts'
import { Refusal } from '../refusal.ts'
import { SilentClient } from './silent-client.ts'
import type { SocketContext } from './socket-context.ts'
import { type SessionDeps, SocketSession } from './socket-session.ts'
import type { Turn } from './turn.ts'

type Fault = 'none' | 'at orders' | 'at settlements' | 'at the last turn'

const order = () => ({ refusal: new Refusal('credential_revoked', 'gone'), style: 'explicit' as const })
const fault = () => {
  throw new Error('a fault of ours')
}

/** A session whose turns cannot be ended, settled or looked at. */
class FaultySession extends SocketSession {
  readonly budgets = []
  readonly settled: string[] = []
  readonly fault: Fault
  constructor(deps: Partial<SessionDeps>, name: Fault) {
    const client = new SilentClient(() => {}) as unknown as WebSocket
    const context = {
      callId: 'c',
      match: { dialect: 'openai' },
      headers: { client: {}, claimed: {} },
      principal: { identity: { key_id: 'k', project_id: 'p' }, project: {} },
      endpoint: { name: 'responses' },
    } as unknown as SocketContext
    const socket = new SilentClient(() => {}) as unknown as WebSocket
    super(deps as SessionDeps, context, client, { socket, requestId: undefined })
    this.fault = name
  }
  forget(): void {
    this.client.emit('close', 1000, Buffer.alloc(0))
  }
  protected onClientFrame(): void {}
  protected onUpstreamFrame(): boolean {
    return true
  }
  protected errorEvent(): string {
    return '{}'
  }
  protected runningTurns(): readonly Turn[] {
    const turn = (name: string, settle: () => unknown) =>
      ({ call: { callId: name }, settle, isSettled: false }) as unknown as Turn
    const settles = turn('b', () => this.settled.push('b'))
    return this.fault === 'at settlements' ? [turn('a', fault), settles] : [settles]
  }
  protected endTurns(): void {
    if (this.fault === 'at orders') fault()
  }
  protected override afterTurn(): void {
    if (this.fault === 'at the last turn') fault()
    super.afterTurn()
  }
}

function openSessions(t: TestContext, faults: readonly Fault[]) {
  const live = new LiveCalls(assert.ifError)
  const told: string[] = []
  const ended: Fault[] = []
  const sessions = faults.map(name => {
    const deps = {
      journal: {},
      timeouts: { maxStallMs: 1_000 },
      onInternalError: (error: unknown) => told.push(String(error)),
      onRefused: () => {},
      onEnded: () => {
        ended.push(name)
        live.remove(session)
      },
    } as unknown as SessionDeps
    const session = new FaultySession(deps, name)
    live.add(session)
    // Whatever has become of it, its pings end.
    t.after(() => session.forget())
    return session
  })
  return { live, told, ended, sessions }
}

test('an order that fails in one session ends it all the same, and those behind it are ended too', async t => {
  const { live, told, ended } = openSessions(t, ['at orders', 'none'])
  assert.equal(
    live.cutWhere(() => true, order),
    2,
  )
  await nextTurn()
  await nextTurn()
  assert.deepEqual(new Set(ended), new Set(['at orders', 'none']))
  assert.equal(live.size, 0)
  assert.deepEqual(new Set(told), new Set(['Error: a fault of ours']))
})

test('a turn that cannot be settled keeps no other open, and its session is over', t => {
  const { live, told, ended, sessions } = openSessions(t, ['at settlements', 'none'])
  for (const session of sessions) session.terminate()
  assert.deepEqual([ended, live.size], [['at settlements', 'none'], 0])
  assert.deepEqual(
    sessions.map(({ settled }) => settled),
    [['b'], ['b']],
  )
  assert.deepEqual(told, ['Error: a fault of ours'])
})

test('a session that fails to leave ends, and holds no other up', async t => {
  const { told, ended, sessions } = openSessions(t, ['at the last turn', 'none'])
  for (const session of sessions) session.leave(new Refusal('shutting_down', 'Connect again.'))
  await nextTurn()
  await nextTurn()
  assert.ok(ended.includes('at the last turn'))
  assert.ok(told.includes('Error: a fault of ours'))
})
