import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { testFolder } from './test-folder.ts'

const run = promisify(execFile)

/** Two files of one process, each with a step for its end and a test in between. */
const group = `
import { test } from 'node:test'
import { atFileEnd, atProcessEnd, loadFiles } from ${JSON.stringify(import.meta.resolve('./at-file-end.ts'))}
await loadFiles(['first', 'second'], async file => {
  // Longer than there are tests.
  await new Promise(resolve => setTimeout(resolve, 100))
  console.log(file, 'opens')
  atProcessEnd(async () => console.log(file, 'is left'))
  atFileEnd(async () => console.log(file, 'closes'))
  test(file, async () => {
    await new Promise(resolve => setTimeout(resolve, 20))
    console.log(file, 'is tested')
  })
})
`

/** The first opens what it closes in its test only, and is done before the second is there. */
const hasty = `
import { test } from 'node:test'
import { atFileEnd, atProcessEnd, loadFiles } from ${JSON.stringify(import.meta.resolve('./at-file-end.ts'))}
await loadFiles(['first', 'second', 'third'], async file => {
  await new Promise(resolve => setTimeout(resolve, 100))
  atProcessEnd(async () => console.log(file, 'is left'))
  test(file, async () => {
    atFileEnd(async () => console.log(file, 'closes'))
    console.log(file, 'is tested')
  })
})
`

async function linesOf(path: string, ...options: string[]): Promise<string[]> {
  const { stdout } = await run(process.execPath, [...options, path], {
    env: { ...process.env, NODE_TEST_CONTEXT: 'child' },
  })
  return stdout.split('\n').filter(line => /^(first|second|third) /.test(line))
}

test('what a file has opened is closed before the next one of its process opens anything', async t => {
  const path = join(testFolder(t), 'group.ts')
  writeFileSync(path, group)
  assert.deepEqual(await linesOf(path), [
    ...['first opens', 'first is tested', 'first closes'],
    ...['second opens', 'second is tested', 'second closes'],
    ...['second is left', 'first is left'],
  ])
  // Where only some tests are asked for, nobody waits for those that are not run.
  assert.ok((await linesOf(path, '--test-name-pattern=second')).includes('second is tested'))
})

test('a process is not at its end while a file is being opened, whatever the ones before have left to do', async t => {
  const path = join(testFolder(t), 'hasty.ts')
  writeFileSync(path, hasty)
  const lines = await linesOf(path)
  assert.deepEqual(lines.slice(-3), ['third is left', 'second is left', 'first is left'])
  for (const file of ['first', 'second', 'third'])
    for (const what of ['is tested', 'closes']) assert.ok(lines.includes(`${file} ${what}`), lines.join())
  assert.ok((await linesOf(path, '--test-name-pattern=third')).includes('third is tested'))
})
