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

async function linesOf(path: string, ...options: string[]): Promise<string[]> {
  const { stdout } = await run(process.execPath, [...options, path], {
    env: { ...process.env, NODE_TEST_CONTEXT: 'child' },
  })
  return stdout.split('\n').filter(line => /^(first|second) /.test(line))
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
