import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import test from 'node:test'
import { fullSizeVariable } from './test-size.ts'

test('a test is small, unless its run is at full size', () => {
  const program = `import { sized } from '${import.meta.resolve('./test-size.ts')}'; process.stdout.write(sized({ small: 'small', full: 'full' }))`
  const sizeWith = (value: string): string =>
    execFileSync(process.execPath, ['--input-type=module', '--eval', program], {
      env: { ...process.env, [fullSizeVariable]: value },
      encoding: 'utf8',
    })
  assert.equal(sizeWith(''), 'small')
  assert.equal(sizeWith('1'), 'full')
})
