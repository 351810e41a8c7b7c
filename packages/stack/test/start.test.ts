import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import getPort from 'get-port'
import { identifyProcess } from '../src/process-identity.ts'

const program = join(import.meta.dirname, '..', 'src', 'start.ts')

interface Start {
  child: ChildProcess
  output: () => string
  ended: Promise<number | null>
}

function start(t: TestContext, env: Record<string, string>): Start {
  let text = ''
  const { NODE_TEST_CONTEXT: _, ...inherited } = process.env
  const child = spawn(process.execPath, [program], { env: { ...inherited, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (text += String(chunk)))
  t.after(() => child.kill('SIGKILL'))
  return { child, output: () => text, ended: once(child, 'close').then(([code]) => code as number | null) }
}

function makeHome(t: TestContext): string {
  const home = mkdtempSync(join(tmpdir(), 'sluice-start-'))
  t.after(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }))
  return home
}

async function until(check: () => boolean, describe: () => string, timeoutMs = 60_000): Promise<void> {
  const deadline = Date.now() + timeoutMs
  while (!check()) {
    if (Date.now() > deadline) throw new Error(describe())
    await delay(20)
  }
}

/** One sentence on standard error, no stack, exit code 1. */
async function assertRefused(started: Start, sentence: RegExp): Promise<void> {
  assert.equal(await started.ended, 1, started.output())
  assert.match(started.output(), sentence)
  assert.doesNotMatch(started.output(), /\n\s+at /)
}

test('a busy port is named, with how to choose another one', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  await assertRefused(
    start(t, { SLUICE_HOME: makeHome(t), SLUICE_PORT: String(port) }),
    new RegExp(`Port ${port} is in use by another program.*SLUICE_PORT=`),
  )
})

test('a home that a running start holds is left to it', async t => {
  const home = makeHome(t)
  writeFileSync(join(home, 'lock'), JSON.stringify({ ...identifyProcess(process.pid), url: 'http://127.0.0.1:1' }))
  await assertRefused(
    start(t, { SLUICE_HOME: home }),
    new RegExp(`already runs from ${home}: process ${process.pid}, .*http://127.0.0.1:1`),
  )
})

test('a folder with other files, or of another version, is left alone', async t => {
  const foreign = makeHome(t)
  writeFileSync(join(foreign, 'thesis.txt'), 'keep me')
  await assertRefused(start(t, { SLUICE_HOME: foreign }), /holds files that are not Sluice's/)
  assert.deepEqual(readdirSync(foreign), ['thesis.txt'])
  const newer = makeHome(t)
  writeFileSync(join(newer, 'sluice.json'), '{"layout":99}')
  await assertRefused(start(t, { SLUICE_HOME: newer }), /layout 99, this one reads 1/)
})

test('a missing NATS server is one sentence, and nothing is left running', async t => {
  const home = makeHome(t)
  const port = String(await getPort({ host: '127.0.0.1' }))
  await assertRefused(
    start(t, { SLUICE_HOME: home, SLUICE_PORT: port, NATS_SERVER_BIN: join(home, 'none') }),
    /NATS_SERVER_BIN is .*none, which does not exist/,
  )
  assert.deepEqual(pidFiles(home), [])
  assert.deepEqual(processesOf(home), [])
})

test('after a kill -9 of everything the next start has all that was there, and an interrupt leaves nothing running', async t => {
  const home = makeHome(t)
  mkdirSync(home, { recursive: true })
  const port = String(await getPort({ host: '127.0.0.1' }))
  const env = { SLUICE_HOME: home, SLUICE_PORT: port, OPENAI_API_KEY: '', ANTHROPIC_API_KEY: '' }
  const first = start(t, env)
  await until(() => first.output().includes('is ready at') || first.child.exitCode !== null, first.output)
  assert.match(first.output(), /is ready at/)
  assert.match(first.output(), /SIMULATOR/)
  const lines = readFileSync(join(home, 'env'), 'utf8')
  assert.equal(statSync(join(home, 'env')).mode & 0o777, 0o600)
  assert.equal(await call(home), 200)
  await until(() => / {2}gpt-5\.4\S* \[simulator\] {2}\d+ in, \d+ out {2}\$0\.\d+ /.test(first.output()), first.output)

  const pids = [first.child.pid ?? 0, ...descendants(first.child.pid ?? 0)]
  assert.ok(pids.length > 10, 'every part is a process of ours')
  first.child.kill('SIGSTOP')
  for (const pid of pids.reverse()) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It ended with one before it.
    }
  }
  await first.ended

  const second = start(t, env)
  await until(() => second.output().includes('is ready at') || second.child.exitCode !== null, second.output)
  assert.match(second.output(), /is ready at/)
  assert.equal(readFileSync(join(home, 'env'), 'utf8'), lines, 'key, project and password are the same')
  assert.equal(await call(home), 200)

  const secondPids = descendants(second.child.pid ?? 0)
  second.child.kill('SIGINT')
  assert.equal(await second.ended, 0, second.output())
  assert.match(second.output(), /nothing is left running/)
  assert.deepEqual(
    secondPids.filter(pid => identifyProcess(pid)),
    [],
  )
  assert.deepEqual(pidFiles(home), [])
  assert.deepEqual(processesOf(home), [])
})

async function call(home: string): Promise<number> {
  const text = execFileSync('/bin/sh', ['-c', `. ${home}/env; printf '%s %s' "$OPENAI_BASE_URL" "$OPENAI_API_KEY"`], {
    encoding: 'utf8',
  })
  const [baseUrl, apiKey] = text.split(' ')
  const response = await fetch(`${baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'gpt-5.4', messages: [{ role: 'user', content: 'Hello' }] }),
  })
  await response.text()
  return response.status
}

function pidFiles(home: string): string[] {
  return readdirSync(home, { recursive: true, encoding: 'utf8' }).filter(
    name => name.endsWith('.pid.json') || name === 'lock',
  )
}

/** Every process below one, by the parent each names. */
function descendants(root: number): number[] {
  const rows = execFileSync('ps', ['-eo', 'pid=,ppid='], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map(line => line.trim().split(/\s+/).map(Number))
  const found: number[] = []
  const look = (parent: number) => {
    for (const [pid = 0, ppid] of rows)
      if (ppid === parent) {
        found.push(pid)
        look(pid)
      }
  }
  look(root)
  return found
}

/** Processes that name the folder in their command. */
function processesOf(home: string): string[] {
  return execFileSync('ps', ['-eo', 'args='], { encoding: 'utf8' })
    .split('\n')
    .filter(line => line.includes(home))
}
