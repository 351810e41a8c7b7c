import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { sized } from '@sluice/test-env/test-size'

const program = [
  ...sized({ small: ['--import', import.meta.resolve('./from-bundles.ts')], full: [] }),
  join(import.meta.dirname, '..', 'src', 'start.ts'),
]

/** `npm start` as a process, and all that it has printed. */
export interface Start {
  child: ChildProcess
  output: () => string
  ended: Promise<number | null>
}

/** Runs `npm start`'s program, as users do where tests have their full size; `wrapper` is a command that runs the one after it. */
export function start(t: TestContext, env: Record<string, string>, wrapper: readonly string[] = []): Start {
  let text = ''
  const { NODE_TEST_CONTEXT: _, ...inherited } = process.env
  const [command = process.execPath, ...args] = [...wrapper, process.execPath, ...program]
  const child = spawn(command, args, { env: { ...inherited, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (text += String(chunk)))
  t.after(() => child.kill('SIGKILL'))
  return { child, output: () => text, ended: once(child, 'close').then(([code]) => code as number | null) }
}

export function makeHome(t: TestContext): string {
  const home = mkdtempSync(join(tmpdir(), 'sluice-start-'))
  t.after(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }))
  return home
}

export async function until(
  check: () => boolean | Promise<boolean>,
  describe: () => string,
  timeoutMs = 60_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(describe())
    await delay(20)
  }
}

export async function untilReady(started: Start): Promise<void> {
  await until(() => started.output().includes('is ready at') || started.child.exitCode !== null, started.output)
  assert.match(started.output(), /is ready at/)
}

/** One sentence on standard error, no stack, exit code 1. */
export async function assertRefused(started: Start, sentence: RegExp): Promise<void> {
  assert.equal(await started.ended, 1, started.output())
  assert.match(started.output(), sentence)
  assert.doesNotMatch(started.output(), /\n\s+at /)
}

/** The first call of whoever sources the file of export lines. */
export async function post(home: string, body: Record<string, unknown>): Promise<Response> {
  const text = execFileSync('/bin/sh', ['-c', `. ${home}/env; printf '%s %s' "$OPENAI_BASE_URL" "$OPENAI_API_KEY"`], {
    encoding: 'utf8',
  })
  const [baseUrl, apiKey] = text.split(' ')
  return fetch(`${baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'gpt-5.4', ...body }),
  })
}

export async function call(home: string): Promise<number> {
  const response = await post(home, { messages: [{ role: 'user', content: 'Hello' }] })
  await response.text()
  return response.status
}

/** No file says that a part runs, and no process names the folder. */
export function assertNothingLeft(home: string): void {
  const files = readdirSync(home, { recursive: true, encoding: 'utf8' })
  assert.deepEqual(
    files.filter(name => name.endsWith('.pid.json') || name === 'lock'),
    [],
  )
  const commands = execFileSync('ps', ['-eo', 'args='], { encoding: 'utf8' }).split('\n')
  assert.deepEqual(
    commands.filter(line => line.includes(home)),
    [],
  )
}

/** Every process below one, by the parent each names. */
export function descendants(root: number): number[] {
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
