import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

test('what a process has compiled is kept once it runs: one that is killed does not compile it again', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'closing-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const program = join(folder, 'program.mjs')
  const stack = new URL('./closing-stack.ts', import.meta.url)
  writeFileSync(
    program,
    `import { ClosingStack } from '${stack}'\nvoid new ClosingStack().untilSignal()\nsetInterval(() => {}, 1_000)\nconsole.log('runs')\n`,
  )
  const cache = join(folder, 'cache')
  const child = spawn(process.execPath, [program], {
    env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: cache },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  await once(child.stdout, 'data')
  child.kill('SIGKILL')
  await ended
  assert.ok(globSync('*/*', { cwd: cache }).length >= 2, 'the program and what it imports')
})
