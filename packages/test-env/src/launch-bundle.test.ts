import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { copyFileSync, globSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { bundlePrograms } from './bundle-programs.ts'
import { testFolder } from './test-folder.ts'

const bundles = await bundlePrograms()
const sums = Array.from({ length: 100 }, (_, i) => `sum += ${i} * sum;`).join('\n')

function programIn(t: TestContext) {
  const folder = testFolder(t, 'bundle')
  const file = join(folder, 'program.mjs')
  copyFileSync(join(bundles, 'gateway.mjs'), file)
  writeFileSync(
    join(folder, 'program.js'),
    `(async require => {
      const add = sum => { ${sums} return sum }
      if (process.argv.includes('add')) add(1)
      const { sep } = await import('node:path')
      process.exitCode = process.argv.includes('fail') ? 1 : 0
      process.stdout.write(sep + require('node:path').sep)
    })`,
  )
  return {
    run: (...args: string[]) =>
      execFileSync(process.execPath, [...args.filter(isFlag), file, ...args], { stdio: 'pipe' }),
    kept: () =>
      globSync('program.js.*', { cwd: folder }).map(name => {
        const { size, mtimeMs } = statSync(join(folder, name))
        return { size, mtimeMs }
      }),
  }
}

const isFlag = (argument: string) => argument.startsWith('--no-')

test('what a bundle has called is kept compiled by the first run that ends well, and read by the next', t => {
  const { run, kept } = programIn(t)
  assert.equal(run('add').toString(), '//')
  const [first] = kept()
  run()
  run('add')
  assert.deepEqual(kept(), [first], 'none of them compiled it again')

  const other = programIn(t)
  other.run()
  assert.ok((first?.size ?? 0) > (other.kept()[0]?.size ?? 0) + 1_000, 'a function that is called is in it')
})

test('a bundle that only checks its configuration keeps nothing, nor does one that fails; other flags keep for themselves', t => {
  const { run, kept } = programIn(t)
  run('--check-config')
  assert.throws(() => run('fail'))
  assert.deepEqual(kept(), [])
  run()
  run('--no-opt')
  run('--no-opt')
  assert.equal(kept().length, 2)
})
