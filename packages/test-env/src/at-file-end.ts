import { after } from 'node:test'

const steps: (() => Promise<void>)[] = []

/**
 * Runs a step when every test of this file has ended, their own clean-up included: `t.after` hooks run in the order
 * they were given, so one of ours would run before the test has closed what it opened.
 */
export function atFileEnd(step: () => Promise<void>): void {
  steps.push(step)
}

// Registered at import, at the file's level: inside a test the hook would belong to that test. Elsewhere than in a test
// file there is nobody to run it.
if (process.env.NODE_TEST_CONTEXT !== undefined || process.argv[1]?.includes('.test.') === true) {
  after(async () => {
    // Last given, first run: a database goes before its server.
    for (const step of steps.reverse()) await step()
  })
}
