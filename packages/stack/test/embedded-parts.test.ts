import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from '@nats-io/transport-node'
import pg from 'pg'
import { endOrphan } from '../src/end-orphan.ts'
import { identifyProcess, isSameProcess } from '../src/process-identity.ts'
import { startNats } from '../src/start-nats.ts'
import { startPostgres } from '../src/start-postgres.ts'
import { startWatchedProcess } from '../src/watched-process.ts'

function makeFolder(t: TestContext, mode = 0o711): string {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-parts-'))
  chmodSync(folder, mode)
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}

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
function startHolder(folder: string): ChildProcess {
  const program = `
    import { startPostgres, startNats } from ${JSON.stringify(new URL('../src/index.ts', import.meta.url).href)}
    const postgres = await startPostgres({ dataDir: ${JSON.stringify(join(folder, 'pg'))}, durable: false })
    const nats = await startNats({ dataDir: ${JSON.stringify(join(folder, 'nats'))}, durable: false })
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

test('PostgreSQL keeps its data over a stop, is reached with its password alone, and only from this machine', async t => {
  const folder = makeFolder(t)
  const first = await startPostgres({ dataDir: join(folder, 'pg'), durable: false })
  t.after(() => first.stop())
  await ask(first.url, 'create table kept as select 1 as one')
  assert.deepEqual(await ask(first.url, 'show listen_addresses'), [{ listen_addresses: '127.0.0.1' }])
  const wrong = new URL(first.url)
  wrong.password = 'wrong'
  await assert.rejects(ask(wrong.href, 'select 1'), { code: '28P01' })
  assert.equal(statSync(join(folder, 'pg', 'password')).mode & 0o777, 0o600)
  await first.stop()
  const second = await startPostgres({ dataDir: join(folder, 'pg'), durable: false })
  t.after(() => second.stop())
  assert.deepEqual(await ask(second.url, 'select one from kept'), [{ one: 1 }])
})

test('PostgreSQL whose predecessor was killed starts as soon as the sessions that outlived it have ended', async t => {
  const folder = makeFolder(t)
  const dataDir = join(folder, 'pg')
  const first = await startPostgres({ dataDir })
  t.after(() => first.stop())
  await ask(first.url, 'create table kept as select 1 as one')
  // Nothing in it looks up for two seconds or more.
  const busy = ask(first.url, 'select count(*) from generate_series(1, 30000000)').catch(() => undefined)
  await until(async () => {
    const rows = await ask(
      first.url,
      "select 1 from pg_stat_activity where state = 'active' and query like '%series(%'",
    )
    return rows.length > 1
  }, 'the session is busy')
  first.process.signal('SIGKILL')
  await first.process.exited
  const lines: string[] = []
  const second = await startPostgres({ dataDir, log: line => lines.push(line) })
  t.after(() => second.stop())
  assert.ok(lines.includes('waiting for the sessions of a PostgreSQL that was killed to end'), lines.join())
  assert.deepEqual(await ask(second.url, 'select one from kept'), [{ one: 1 }])
  await busy
})

test('PostgreSQL starts in a private folder, as root too', async t => {
  const folder = makeFolder(t, 0o700)
  const server = await startPostgres({ dataDir: join(folder, 'pg'), durable: false })
  t.after(() => server.stop())
  assert.deepEqual(await ask(server.url, 'select 1 as one'), [{ one: 1 }])
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

test('nothing stays behind when whoever started the parts is killed', async t => {
  const folder = makeFolder(t)
  const holder = startHolder(folder)
  const pids = await readPids(holder)
  for (const pid of pids) assert.ok(identifyProcess(pid))
  holder.kill('SIGKILL')
  await until(() => pids.every(pid => identifyProcess(pid) === undefined), 'both parts ended')
})

test('parts whose watchdogs were killed as well are ended by the next start, which has their data', async t => {
  const folder = makeFolder(t)
  const holder = startHolder(folder)
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
  const server = await startPostgres({ dataDir: join(folder, 'pg'), durable: false, log })
  t.after(() => server.stop())
  const nats = await startNats({ dataDir: join(folder, 'nats'), durable: false, log })
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
