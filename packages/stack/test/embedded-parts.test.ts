import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from '@nats-io/transport-node'
import pg from 'pg'
import { endOrphan } from '../src/end-orphan.ts'
import { identifyProcess, isSameProcess } from '../src/process-identity.ts'
import { startNats } from '../src/start-nats.ts'
import { startPostgres } from '../src/start-postgres.ts'
import { startWatchedProcess } from '../src/watched-process.ts'

function makeFolder(t: { after: (step: () => void) => void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-parts-'))
  chmodSync(folder, 0o711)
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}

/** Data that those tests begin with that do not look at how it is made, which takes longer than all else. */
const shared = makeFolder({ after })
const dataDir = join(shared, 'pg')

async function until(check: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + 60_000
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`never: ${what}`)
    await delay(10)
  }
}

async function ask(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

/** A process that starts both parts, tells their ids, and is there to be killed. */
function startHolder(): ChildProcess {
  const program = `
    import { startNats } from ${JSON.stringify(import.meta.resolve('../src/start-nats.ts'))}
    import { startPostgres } from ${JSON.stringify(import.meta.resolve('../src/start-postgres.ts'))}
    const postgres = await startPostgres({ dataDir: ${JSON.stringify(dataDir)}, durable: false })
    const nats = await startNats({ dataDir: ${JSON.stringify(join(shared, 'nats'))}, durable: false })
    console.log(postgres.process.pid, nats.process.pid)
    setInterval(() => {}, 1000)
  `
  return spawn(process.execPath, ['--input-type=module-typescript', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

async function readPids(holder: ChildProcess): Promise<number[]> {
  let text = ''
  holder.stdout?.on('data', chunk => (text += String(chunk)))
  await until(() => text.endsWith('\n'), 'both parts run')
  return text.trim().split(' ').map(Number)
}

test('PostgreSQL keeps its data over a stop, is reached with its password alone, and only from this machine; below a private folder too, as root', async () => {
  chmodSync(shared, 0o700)
  const first = await startPostgres({ dataDir, durable: false })
  try {
    await ask(first.url, 'create table kept as select 1 as one')
    assert.deepEqual(await ask(first.url, 'show listen_addresses'), [{ listen_addresses: '127.0.0.1' }])
    const wrong = new URL(first.url)
    wrong.password = 'wrong'
    await assert.rejects(ask(wrong.href, 'select 1'), { code: '28P01' })
    assert.equal(statSync(join(dataDir, 'password')).mode & 0o777, 0o600)
  } finally {
    await first.stop()
    chmodSync(shared, 0o711)
  }
  const second = await startPostgres({ dataDir, durable: false })
  try {
    assert.deepEqual(await ask(second.url, 'select one from kept'), [{ one: 1 }])
  } finally {
    await second.stop()
  }
})

const waits = 'waiting for the sessions of a PostgreSQL that was killed to end'

test('PostgreSQL whose predecessor was killed starts as soon as the sessions that outlived it have ended', async t => {
  const first = await startPostgres({ dataDir })
  t.after(() => first.stop())
  await ask(first.url, 'create table committed as select 1 as one')
  const session = new pg.Client({ connectionString: first.url })
  session.on('error', () => {})
  await session.connect()
  const { rows } = await session.query<{ pid: number }>('select pg_backend_pid() as pid')
  const pid = rows[0]?.pid ?? 0
  // As one that is busy: it does not look up.
  process.kill(pid, 'SIGSTOP')
  t.after(() => identifyProcess(pid) && process.kill(pid, 'SIGKILL'))
  first.process.signal('SIGKILL')
  await first.process.exited
  const lines: string[] = []
  const log = (line: string) => {
    lines.push(line)
    if (line === waits) process.kill(pid, 'SIGCONT')
  }
  const second = await startPostgres({ dataDir, log })
  t.after(() => second.stop())
  assert.ok(lines.includes(waits), lines.join())
  assert.deepEqual(await ask(second.url, 'select one from committed'), [{ one: 1 }])
})

test('a data directory of another version or of another program is refused in one sentence and left alone', async t => {
  const folder = makeFolder(t)
  const old = join(folder, 'old', 'data')
  mkdirSync(old, { recursive: true })
  writeFileSync(join(old, 'PG_VERSION'), '13\n')
  await assert.rejects(startPostgres({ dataDir: join(folder, 'old') }), {
    name: 'StackError',
    message: /made by PostgreSQL 13; this version runs 18/,
  })
  const foreign = join(folder, 'foreign', 'data')
  mkdirSync(foreign, { recursive: true })
  writeFileSync(join(foreign, 'thesis.txt'), 'keep me')
  await assert.rejects(startPostgres({ dataDir: join(folder, 'foreign') }), { name: 'StackError' })
  assert.equal(readFileSync(join(foreign, 'thesis.txt'), 'utf8'), 'keep me')
})

test('nothing stays behind when whoever started the parts is killed', async () => {
  const holder = startHolder()
  const pids = await readPids(holder)
  for (const pid of pids) assert.ok(identifyProcess(pid))
  holder.kill('SIGKILL')
  await until(() => pids.every(pid => identifyProcess(pid) === undefined), 'both parts ended')
})

test('parts whose watchdogs were killed as well are ended by the next start, which has their data', async t => {
  const holder = startHolder()
  const [postgresPid = 0, natsPid = 0] = await readPids(holder)
  // The watchdogs are the holder's children beside the parts themselves.
  const children = readFileSync(`/proc/${holder.pid}/task/${holder.pid}/children`, 'utf8').trim().split(' ').map(Number)
  holder.kill('SIGSTOP')
  for (const pid of children) if (pid !== postgresPid && pid !== natsPid) process.kill(pid, 'SIGKILL')
  holder.kill('SIGKILL')
  await until(() => holder.signalCode !== null, 'the holder ended')
  assert.ok(identifyProcess(postgresPid), 'PostgreSQL is an orphan now')
  assert.ok(identifyProcess(natsPid), 'NATS is an orphan now')

  const lines: string[] = []
  const log = (line: string) => void lines.push(line)
  const server = await startPostgres({ dataDir, durable: false, log })
  t.after(() => server.stop())
  const nats = await startNats({ dataDir: join(shared, 'nats'), durable: false, log })
  t.after(() => nats.stop())
  assert.deepEqual(lines, ['ended the PostgreSQL of an earlier run', 'ended the NATS server of an earlier run'])
  assert.equal(identifyProcess(postgresPid), undefined)
  assert.equal(identifyProcess(natsPid), undefined)
  assert.deepEqual(await ask(server.url, 'select 1 as one'), [{ one: 1 }])
})

test('a process that merely has the id of a pid file is left alone', async t => {
  const folder = makeFolder(t)
  const bystander = spawn('sleep', ['60'], { stdio: 'ignore' })
  t.after(() => bystander.kill('SIGKILL'))
  const identity = identifyProcess(bystander.pid ?? 0)
  assert.ok(identity)
  const pidFile = join(folder, 'part.pid.json')
  writeFileSync(pidFile, JSON.stringify({ ...identity, startedAt: '1' }))
  assert.equal(await endOrphan(pidFile, { signal: 'SIGTERM', graceMs: 100 }), 'none')
  assert.ok(isSameProcess(identity))
  assert.equal(existsSync(pidFile), false)
})

test('a part that does not end when it is asked to is killed after its grace, and that is said', async t => {
  const folder = makeFolder(t)
  const logFile = join(folder, 'deaf.log')
  const lines: string[] = []
  const deaf = await startWatchedProcess({
    name: 'deaf',
    command: process.execPath,
    // As a service that has closed everything but one timer.
    args: [
      '--eval',
      "process.on('SIGTERM', () => console.log('stopped')); setInterval(() => {}, 1000); console.log('up')",
    ],
    env: { PATH: process.env.PATH },
    logFile,
    pidFile: join(folder, 'deaf.pid.json'),
    stopSignal: 'SIGTERM',
    graceMs: 300,
    log: line => void lines.push(line),
  })
  t.after(() => deaf.signal('SIGKILL'))
  await until(() => readFileSync(logFile, 'utf8').includes('up'), 'it listens to the signal')
  assert.equal((await deaf.stop()).signal, 'SIGKILL')
  assert.match(readFileSync(logFile, 'utf8'), /stopped/)
  assert.equal(identifyProcess(deaf.pid), undefined)
  assert.deepEqual(lines, [`deaf did not end within 0.3 s of being asked to and is killed. Its log: ${logFile}`])
})

test('NATS keeps its passwords over a stop and lets nobody in without one', async t => {
  const folder = makeFolder(t)
  const first = await startNats({ dataDir: join(folder, 'nats'), durable: false })
  t.after(() => first.stop())
  await assert.rejects(connect({ servers: first.url }), /Authorization Violation/i)
  await first.stop()
  const second = await startNats({ dataDir: join(folder, 'nats'), durable: false })
  t.after(() => second.stop())
  assert.deepEqual(second.users, first.users)
  const connection = await connect({ servers: second.url, ...first.users.billing })
  await connection.close()
})
