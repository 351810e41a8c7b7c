import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What a test, or a hook of its file, gives us: where to hang the clean-up. */
export interface TestScope {
  after: (clean: () => void | Promise<void>) => void
  /** Of a test context: whether it passed. Absent at file level. */
  readonly passed?: boolean
}

/** A folder of this test's own, removed after it unless it failed; `SLUICE_KEEP_TEST_DATA=1` keeps it anyway. */
export function testFolder(t: TestScope, name = 'test'): string {
  const folder = makeFolder(name)
  t.after(() => {
    if (!keepsData(t)) rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  })
  return folder
}

/** Whether what a test made stays for a look at it. */
export function keepsData(t: TestScope): boolean {
  return process.env.SLUICE_KEEP_TEST_DATA === '1' || t.passed === false
}

/** Not private to us: PostgreSQL, started by root, runs as another user and must reach its data. */
export function makeFolder(name: string): string {
  return mkdtempSync(join(tmpdir(), `sluice-${name}-`))
}
