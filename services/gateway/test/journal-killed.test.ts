import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually, sized, type TestNats, testFolder, testNats } from '@sluice/test-env'
import { lockDirectory } from '../src/journal/directory-lock.ts'
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
  type Scope,
  settledLeases,
  toldLeases,
} from './journal-env.ts'

interface Writer {
  process: ChildProcess
  exited: Promise<unknown>
  /** What it has done so far, by its own word. */
  read: () => { gatewayId: string | undefined; opened: Set<string>; closed: Map<string, string> }
}

const program = join(import.meta.dirname, 'journal-writer.ts')
let writers = 0
const kills = sized({ small: 3, full: 6 })

function startWriter(t: TestContext, scope: Scope, nats: TestNats, directory: string): Writer {
  const { user, pass } = nats.users.gateway
  const witness = join(testFolder(t, 'witness'), String(++writers))
  const child = spawn(process.execPath, [program, directory, witness, nats.url, user, pass], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  scope.after(() => void child.kill('SIGKILL'))
  return {
    process: child,
    exited: once(child, 'exit'),
    read() {
      const lines = existsSync(witness) ? readFileSync(witness, 'utf8').split('\n').slice(0, -1) : []
      const opened = new Set<string>()
      const closed = new Map<string, string>()
      let gatewayId: string | undefined
      for (const line of lines) {
        const [what, id = '', ...rest] = line.split(' ')
        if (what === 'ready') gatewayId = id
        if (what === 'open') opened.add(id)
        if (what === 'close') closed.set(id, rest.join('.'))
      }
      return { gatewayId, opened, closed }
    },
  }
}

test('a gateway killed again and again loses nothing it wrote, numbers without gaps, and pays nothing twice', async t => {
  const scope = reversed(t)
  const nats = await testNats(t)
  const directory = testFolder(t, 'journal')
  const seed = Number(process.env.SLUICE_TEST_SEED ?? Date.now() % 1_000_000)
  t.diagnostic(`SLUICE_TEST_SEED=${seed}`)
  let state = seed
  const random = (): number => {
    state = (state * 48_271 + 11) % 2_147_483_647
    return state / 2_147_483_647
  }
  const opened = new Set<string>()
  const closed = new Map<string, string>()
  let next = startWriter(t, scope, nats, directory)
  for (let run = 0; run < kills; run++) {
    const child = next
    await eventually(() => child.read().closed.size > 20, { intervalMs: 20 })
    // The next one loads while this one writes, and waits for the directory.
    if (run < kills - 1) next = startWriter(t, scope, nats, directory)
    await delay(random() * 40)
    child.process.kill('SIGKILL')
    await child.exited
    const said = child.read()
    for (const id of said.opened) opened.add(id)
    for (const [id, place] of said.closed) closed.set(id, place)
  }
  const bus = await connectGateway(scope, nats)
  const journal = await openTestJournal(scope, { directory, bus })
  assert.equal(journal.epoch, kills + 1)
  assert.ok(await journal.drain(60_000))
  await eventually(async () => (await closedRuns(nats.admin)) === kills)
  const published = await readStream(nats.admin)
  assert.equal(published.closed.length, kills)
  assert.ok(areGapless(published.series))
  const events = new Map(published.events.map(event => [event.event_id, event]))
  assert.equal(events.size, published.events.length, 'no attempt has two events')
  for (const id of opened) assert.ok(events.has(id), `${id} was opened and is not published`)
  for (const [id, place] of closed) {
    const event = events.get(id)
    assert.equal(event && `${event.partition}.${event.seq}`, place)
    assert.equal(event?.status, 'completed')
  }
  const killed = published.events.filter(event => event.status === 'killed')
  assert.ok(killed.length > 0 && killed.length <= 3 * kills, `${killed.length} attempts were running when killed`)
  for (const end of published.closed) {
    for (const [partition, last] of end.last.entries()) {
      const numbers = published.series.get(`${end.gateway_id}.${end.epoch}.${partition}`)
      assert.equal(numbers?.length ?? 0, last)
    }
  }
})

test('a journal is adopted when its process has ended, not while it is silent, and given back when it is wanted', async t => {
  const scope = reversed(t)
  const nats = await testNats(t)
  const bus = await connectGateway(scope, nats)
  const root = testFolder(t, 'journals')
  const sibling = startWriter(t, scope, nats, join(root, 'sibling'))
  await eventually(() => sibling.read().closed.size > 20)
  sibling.process.kill('SIGSTOP')
  const hellos: string[] = []
  nats.admin.subscribe('gateway.hello.v1', { callback: (_, message) => void hellos.push(message.string()) })
  await nats.admin.flush()
  const ended: Parameters<OnRunEnded>[0][] = []
  const homes = Promise.withResolvers<void>()
  const own = await openTestJournal(scope, {
    directory: join(root, 'own'),
    root,
    bus,
    adoptionIntervalMs: 50,
    onRunEnded: run => {
      ended.push(run)
      return homes.promise
    },
  })
  // A second sibling that is dead is adopted; the looks that found it have passed the silent one by.
  const dead = startWriter(t, scope, nats, join(root, 'dead'))
  await eventually(() => dead.read().closed.size > 0)
  dead.process.kill('SIGKILL')
  await dead.exited
  const deadId = dead.read().gatewayId
  await eventually(async () => (await closedRuns(nats.admin)) === 1)
  assert.equal((await readStream(nats.admin)).closed[0]?.gateway_id, deadId)
  assert.equal(lockDirectory(join(root, 'sibling')), undefined)
  const { gatewayId = '' } = sibling.read()
  assert.equal(await closedRuns(nats.admin), 1)

  sibling.process.kill('SIGKILL')
  await sibling.exited
  const { opened } = sibling.read()
  await eventually(async () => (await closedRuns(nats.admin)) === 2)
  const published = await readStream(nats.admin)
  assert.equal(published.closed[1]?.gateway_id, gatewayId)
  assert.equal(published.closed[1]?.closed_by, own.gatewayId)
  assert.ok(areGapless(published.series))
  const ids = new Set(published.events.map(event => event.event_id))
  for (const id of opened) assert.ok(ids.has(id))
  await eventually(() => hellos.some(hello => hello.includes(gatewayId)))
  const run = ended.find(each => each.gatewayId === gatewayId)
  assert.deepEqual([ended.length, run?.epoch], [2, 1], 'homes hear of each run by its own name')
  assert.ok(opened.size > 0 && run && run.leases.length >= opened.size)
  assert.deepEqual(toldLeases(run.leases), settledLeases(published.events, gatewayId))

  // Its gateway comes back while its journal is not posted and the homes have not answered, and is the same gateway, a run later.
  const answer = Promise.withResolvers<void>()
  const again = await openTestJournal(scope, {
    directory: join(root, 'sibling'),
    bus,
    onRunEnded: run => {
      ended.push(run)
      return answer.promise
    },
  })
  assert.deepEqual([again.gatewayId, again.epoch], [gatewayId, 2])
  assert.deepEqual(ended.slice(2), [run], 'they are told again, the same')
  await postAll(nats.admin)
  await delay(1_500)
  const first = join(root, 'sibling', '0000000001-0000000001.journal')
  assert.ok(existsSync(first), 'what homes have not answered stays')
  answer.resolve()
  await eventually(() => !existsSync(first))
  assert.equal((await readStream(nats.admin)).events.length, published.events.length)
})

test('a gateway that ends hands its journal over: a sibling publishes at once what it could not', async t => {
  const scope = reversed(t)
  const nats = await testNats(t)
  const root = testFolder(t, 'journals')
  const staying = await openTestJournal(scope, {
    directory: join(root, 'staying'),
    root,
    bus: await connectGateway(scope, nats),
    // So rarely that without being told it would find nothing here.
    adoptionIntervalMs: 600_000,
  })
  const leavingBus = await connectGateway(scope, nats)
  const leaving = await openTestJournal(scope, { directory: join(root, 'leaving'), root, bus: leavingBus })
  await leavingBus.close()
  const records = Array.from({ length: 50 }, (_, i) => openRecord(projects[i % projects.length]))
  for (const record of records) leaving.open(record)
  for (const record of records) leaving.close(draftOf(record), { urgent: false })
  assert.equal(leaving.unpublishedEvents(), records.length)
  await leaving.shutdown()
  await eventually(async () => (await closedRuns(nats.admin)) === 1)
  const { events, series, closed } = await readStream(nats.admin)
  assert.deepEqual(events.map(event => event.event_id).sort(), records.map(record => record.event_id).sort())
  assert.ok(areGapless(series))
  assert.deepEqual([closed[0]?.gateway_id, closed[0]?.closed_by], [leaving.gatewayId, staying.gatewayId])
})
