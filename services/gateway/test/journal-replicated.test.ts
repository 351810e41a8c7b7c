import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { jetstreamManager } from '@nats-io/jetstream'
import { eventually, sized, testFolder, testNats } from '@sluice/test-env'
import type { Journal } from '../src/journal/journal.ts'
import { JournalUnavailableError } from '../src/journal/journal.ts'
import type { OpenRecord } from '../src/journal/open-record.ts'
import type { OnRunEnded } from '../src/journal/past-epoch.ts'
import {
  areGapless,
  closedRuns,
  connectGateway,
  draftOf,
  openRecord,
  openTestJournal,
  postAll,
  projects,
  readStream,
  reversed,
  settledLeases,
  toldLeases,
} from './journal-env.ts'

/** Opens an attempt and waits until the call may leave. */
function admit(journal: Journal, record: OpenRecord): Promise<JournalUnavailableError | undefined> {
  return new Promise(resolve => {
    try {
      journal.open(record, resolve)
    } catch (error) {
      if (!(error instanceof JournalUnavailableError)) throw error
      resolve(error)
    }
  })
}

const replicated = { mode: 'replicated', adoptionIntervalMs: 100, securedTimeoutMs: 2_000 } as const

test('a gateway that is gone with its disk loses nothing: a sibling ends its journal from the replica', async t => {
  const scope = reversed(t)
  const nats = await testNats(t)
  const [root, lostDisk] = [testFolder(t, 'journals'), testFolder(t, 'lost')]
  const witness = join(root, 'witness')
  const { user, pass } = nats.users.gateway
  const program = join(import.meta.dirname, 'journal-writer.ts')
  const args = [program, join(lostDisk, 'own'), witness, nats.url, user, pass, lostDisk]
  const dying = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  scope.after(() => void dying.kill('SIGKILL'))
  const facts = () => (existsSync(witness) ? readFileSync(witness, 'utf8').trimEnd().split('\n') : [])
  await eventually(() => facts().length > 300)
  dying.kill('SIGKILL')
  await once(dying, 'exit')
  rmSync(lostDisk, { recursive: true })
  const [, dyingId = ''] = facts()[0]?.split(' ') ?? []
  const known = (fact: string) => facts().flatMap(line => (line.startsWith(`${fact} `) ? [line.split(' ')] : []))

  const bus = await connectGateway(scope, nats)
  const ended: Parameters<OnRunEnded>[0][] = []
  const sibling = await openTestJournal(scope, {
    ...replicated,
    directory: join(root, 'own'),
    root,
    bus,
    replica: { silentMs: 300 },
    onRunEnded: async run => void ended.push(run),
  })
  await eventually(async () => (await closedRuns(nats.admin)) === 1)
  const { events, series, closed } = await readStream(nats.admin)
  assert.deepEqual([closed[0]?.gateway_id, closed[0]?.closed_by], [dyingId, sibling.gatewayId])
  const byId = new Map(events.map(event => [event.event_id, event]))
  for (const [, id = ''] of known('open')) assert.ok(byId.has(id), `${id} was let in and is not published`)
  for (const [, id = '', partition, seq] of known('close')) {
    const event = byId.get(id)
    assert.deepEqual([event?.status, `${event?.partition}`, `${event?.seq}`], ['completed', partition, seq])
  }
  assert.ok(events.some(event => event.status === 'killed'))
  assert.ok(areGapless(series))
  assert.deepEqual(
    ended.map(run => [run.gatewayId, run.epoch]),
    [[dyingId, 1]],
  )
  assert.deepEqual(toldLeases(ended[0]?.leases ?? []), settledLeases(events, dyingId))

  // When billing has it, nothing is kept of it but the word that it is done.
  await postAll(nats.admin)
  const manager = await jetstreamManager(nats.admin)
  await eventually(async () => {
    const { state } = await manager.streams.info('JOURNAL', {
      subjects_filter: `gateway.journal.v1.${dyingId}`,
    })
    return state.subjects?.[`gateway.journal.v1.${dyingId}`] === 1
  })
})

test('a gateway that was taken for gone writes no more, and begins anew as another one', async t => {
  const scope = reversed(t)
  const nats = await testNats(t)
  const [root, otherRoot] = [testFolder(t, 'journals'), testFolder(t, 'other')]
  // It never says that it lives, as one that is cut off.
  const silent = { ...replicated, directory: join(otherRoot, 'own'), root: otherRoot, replica: { beatMs: 600_000 } }
  let takenOver = 0
  const cutOff = await openTestJournal(scope, {
    ...silent,
    bus: await connectGateway(scope, nats),
    adoptionIntervalMs: 600_000,
    onTakenOver: () => takenOver++,
  })
  const before = openRecord()
  assert.equal(await admit(cutOff, before), undefined)
  const sibling = await openTestJournal(scope, {
    ...replicated,
    directory: join(root, 'own'),
    root,
    bus: await connectGateway(scope, nats),
    replica: { silentMs: 200 },
  })
  const endedBy = async () => (await readStream(nats.admin)).closed.find(end => end.gateway_id === cutOff.gatewayId)
  assert.equal((await eventually(endedBy)).closed_by, sibling.gatewayId)

  const states: string[] = []
  cutOff.onState(state => states.push(state))
  const late = openRecord()
  assert.ok((await admit(cutOff, late)) instanceof JournalUnavailableError)
  assert.deepEqual([cutOff.state, states, takenOver], ['failed', ['failed'], 1])
  assert.throws(() => cutOff.open(openRecord()), JournalUnavailableError)
  cutOff.close(draftOf(before), { urgent: true })
  cutOff.close(draftOf(late), { urgent: true })
  await cutOff.shutdown()
  const left = readdirSync(silent.directory).filter(name => name.endsWith('.journal'))
  assert.deepEqual(left, [], 'nothing is left that a sibling could adopt once more')
  const { events } = await readStream(nats.admin)
  assert.deepEqual(
    events.map(event => [event.event_id, event.status]),
    [[before.event_id, 'killed']],
  )

  const again = await openTestJournal(scope, { ...silent, bus: await connectGateway(scope, nats) })
  assert.notEqual(again.gatewayId, cutOff.gatewayId)
  assert.ok(!existsSync(join(otherRoot, 'own', '0000000001-0000000002.journal')))
})

test('while JetStream does not answer no replicated call leaves, and all is well when it does', async t => {
  const scope = reversed(t)
  const nats = await testNats(t)
  const root = testFolder(t, 'journals')
  const bus = await connectGateway(scope, nats)
  const options = { ...replicated, directory: join(root, 'own'), root, bus, securedTimeoutMs: 300 }
  const journal = await openTestJournal(scope, options)
  const isAdmitted = () => eventually(async () => (await admit(journal, openRecord())) === undefined)
  await isAdmitted()
  const manager = await jetstreamManager(nats.admin)
  const { config } = await manager.streams.info('JOURNAL')
  await manager.streams.update('JOURNAL', { ...config, max_bytes: 1 })
  const refused = openRecord()
  const error = await admit(journal, refused)
  assert.deepEqual([error?.statusCode, error?.attemptIsOpen], [503, true])
  journal.close(draftOf(refused), { urgent: false })
  await manager.streams.update('JOURNAL', config)
  await isAdmitted()
})

test('while the copy is late no call is let in, nothing is written for those that come, and it recovers alone', async t => {
  const scope = reversed(t)
  const nats = await testNats(t)
  const root = testFolder(t, 'journals')
  const directory = join(root, 'own')
  const bus = await connectGateway(scope, nats)
  const journal = await openTestJournal(scope, { ...replicated, directory, root, bus, securedTimeoutMs: 300 })
  // The copy of its head may be late by itself, where the machine is slow.
  await journal.synced()
  await eventually(() => journal.state === 'ok')
  const states: string[] = []
  journal.onState(state => states.push(state))
  const manager = await jetstreamManager(nats.admin)
  const { config } = await manager.streams.info('JOURNAL')
  await manager.streams.update('JOURNAL', { ...config, max_bytes: 1 })
  const first = openRecord()
  assert.equal((await admit(journal, first))?.attemptIsOpen, true)
  journal.close(draftOf(first), { urgent: false })
  await eventually(() => states.includes('behind'))
  const bytes = (): number =>
    readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0)
  await delay(50)
  const bytesBefore = bytes()
  // It throws in its own turn: nobody waits.
  for (let i = 0; i < 1_000; i++) assert.throws(() => journal.open(openRecord()), JournalUnavailableError)
  await delay(50)
  assert.equal(bytes(), bytesBefore)
  assert.deepEqual(states, ['behind'])
  await manager.streams.update('JOURNAL', config)
  await eventually(() => journal.state === 'ok')
  assert.deepEqual(states, ['behind', 'ok'])
  assert.equal(await admit(journal, openRecord()), undefined)
  await eventually(async () => (await readStream(nats.admin)).events.some(each => each.event_id === first.event_id))
})

test('a sibling that has restored a journal keeps it for as long as it lives, however long billing takes', async t => {
  const scope = reversed(t)
  const nats = await testNats(t)
  const goneRoot = testFolder(t, 'gone')
  // It never says that it lives.
  const gone = await openTestJournal(scope, {
    ...replicated,
    directory: join(goneRoot, 'own'),
    root: goneRoot,
    bus: await connectGateway(scope, nats),
    adoptionIntervalMs: 600_000,
    replica: { beatMs: 600_000 },
  })
  assert.equal(await admit(gone, openRecord()), undefined)
  const roots = [testFolder(t, 'first'), testFolder(t, 'second')]
  for (const root of roots)
    await openTestJournal(scope, {
      ...replicated,
      directory: join(root, 'own'),
      root,
      bus: await connectGateway(scope, nats),
      // Both are of this process: it may stand still for a second, where the machine is slow.
      replica: { silentMs: 300, beatMs: 100, takenMs: 1_500 },
    })
  const restoredBy = () => roots.filter(root => existsSync(join(root, `restored-${gone.gatewayId}`)))
  await eventually(() => restoredBy().length > 0)
  await delay(4_000)
  assert.equal(restoredBy().length, 1)
})

test('what waiting for JetStream adds to a call is printed', async t => {
  const scope = reversed(t)
  const nats = await testNats(t)
  const root = testFolder(t, 'journals')
  const bus = await connectGateway(scope, nats)
  const journal = await openTestJournal(scope, { ...replicated, directory: join(root, 'own'), root, bus })
  for (const callers of [1, sized({ small: 20, full: 100 })]) {
    const waits: number[] = []
    const call = async (): Promise<void> => {
      for (let i = 0; i < 30; i++) {
        const record = openRecord(projects[i % projects.length])
        const beganAt = performance.now()
        assert.equal(await admit(journal, record), undefined)
        waits.push(performance.now() - beganAt)
        journal.close(draftOf(record), { urgent: false })
      }
    }
    await Promise.all(Array.from({ length: callers }, call))
    waits.sort((a, b) => a - b)
    const at = (share: number): string => (waits[Math.floor(waits.length * share)] ?? Number.NaN).toFixed(1)
    t.diagnostic(`${callers} callers: a wait of p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`)
  }
})
