import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { promisify } from 'node:util'
import { testFolder } from '@sluice/test-env'

const execute = promisify(execFile)

test('runs side by side are told as one, with the failures and the counts of all at its end', async t => {
  const folder = testFolder(t, 'runs')
  for (const name of ['first', 'second'])
    writeFileSync(
      join(folder, `${name}.test.mjs`),
      `import test from 'node:test'
      for (let at = 0; at < 200; at++) test('${name} passes ' + at, () => new Promise(resolve => setTimeout(resolve, at % 10)))
      test('${name} fails', () => { throw new Error('it is the ${name}') })`,
    )
  const program = join(folder, 'both.mjs')
  writeFileSync(
    program,
    `import { run } from 'node:test'
    import { spec } from 'node:test/reporters'
    const { joinRuns } = await import(process.argv[2])
    const runs = ['first', 'second'].map(name => run({ files: [import.meta.dirname + '/' + name + '.test.mjs'] }))
    const events = joinRuns(runs)
    async function* ended(source) {
      for await (const { type } of source) if (type === 'test:summary') yield type + '\\n'
    }
    for (const reporter of [new spec(), ended]) events.compose(reporter).pipe(process.stdout)`,
  )
  // Who runs within a test runs nothing.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const { stdout: told } = await execute(process.execPath, [program, import.meta.resolve('./join-runs.ts')], { env })
  assert.deepEqual(
    told.match(/^ℹ (tests|pass|fail|duration_ms) /gm),
    ['tests', 'pass', 'fail', 'duration_ms'].map(name => `ℹ ${name} `),
  )
  assert.match(told, /ℹ tests 402\nℹ suites 0\nℹ pass 400\nℹ fail 2\n/)
  assert.match(told, /^test:summary$/m, 'the second reporter hears of all')
  const failures = told.slice(told.indexOf('failing tests:'))
  assert.match(failures, /it is the first/)
  assert.match(failures, /it is the second/)
})
