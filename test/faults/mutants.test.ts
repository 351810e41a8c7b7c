import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '..', '..')
/** A replacement as scenarios write it: the file, and a text in quotes that is taken out of it. */
const replacement = /file: '([^']+)',\s*from:\s*(?:'((?:[^'\\]|\\.)*)'|`([^`$]*)`)/g

// `npm test` does not run the mutants: a stale one would be seen only when its scenario is proved at full size.
test('what a mutant takes out of a source stands there', () => {
  let found = 0
  for (const scenario of globSync('test/faults/*.ts', { cwd: root })) {
    if (scenario.endsWith('.test.ts')) continue
    for (const [, file = '', quoted = '', backticked] of readFileSync(join(root, scenario), 'utf8').matchAll(
      replacement,
    )) {
      found++
      const from = backticked ?? quoted.replaceAll(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped))
      assert.ok(readFileSync(join(root, file), 'utf8').includes(from), `${scenario}: ${file} does not hold ${from}`)
    }
  }
  assert.ok(found > 15, `${found} replacements were found`)
})
