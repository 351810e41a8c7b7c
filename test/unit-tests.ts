import { globSync } from 'node:fs'
import { join } from 'node:path'

// Tests that stand beside what they test start nothing of their own: all of them share one process, which loads once what a
// process for each would load a hundred times.
export const unitTests = ['packages/*/src/**/*.test.ts', 'services/*/src/**/*.test.ts']

if (process.env.NODE_TEST_CONTEXT !== undefined) {
  const root = join(import.meta.dirname, '..')
  for (const file of globSync(unitTests, { cwd: root, exclude: ['**/node_modules/**'] }).sort())
    await import(join(root, file))
}
