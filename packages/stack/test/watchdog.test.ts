import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import test from 'node:test'
import { identifyProcess, isSameProcess } from '../src/process-identity.ts'
import { makeHome, until } from './run-start.ts'

const program = (folder: string) => `
  import { startWatchedProcess } from ${JSON.stringify(join(import.meta.dirname, '..', 'src', 'watched-process.ts'))}
  const deaf = await startWatchedProcess({
    name: 'deaf', command: '/bin/sh', args: ['-c', 'trap "" TERM; while :; do sleep 0.1; done'], env: process.env,
    logFile: ${JSON.stringify(join(folder, 'log'))}, pidFile: ${JSON.stringify(join(folder, 'pid'))},
    stopSignal: 'SIGTERM', graceMs: 1_000,
  })
  process.stdout.write(String(deaf.pid))
  setInterval(() => {}, 1_000)
`

test('a process that does not listen to its signal ends, too, when its starter is killed', async t => {
  const starter = spawn(process.execPath, ['--input-type=module', '--eval', program(makeHome(t))], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => starter.kill('SIGKILL'))
  const [printed] = (await once(starter.stdout, 'data')) as [Buffer]
  const pid = Number(printed)
  const identity = identifyProcess(pid)
  assert.ok(identity)
  starter.kill('SIGKILL')
  t.after(() => isSameProcess(identity) && process.kill(pid, 'SIGKILL'))
  await until(
    () => !isSameProcess(identity),
    () => 'it still runs',
    20_000,
  )
})
