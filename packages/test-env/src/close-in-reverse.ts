import type { TestScope } from './test-folder.ts'

/**
 * A scope whose steps run last given, first run: what is opened last is closed first, so that a server outlives its
 * clients. `t.after` hooks alone run in the order they were given.
 */
export function closeInReverse(t: TestScope): TestScope {
  const steps: (() => void | Promise<void>)[] = []
  t.after(async () => {
    const failures: unknown[] = []
    for (const step of steps.reverse()) {
      try {
        await step()
      } catch (error) {
        // What was opened before it still is to be closed.
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  })
  return {
    after: step => void steps.push(step),
    get passed() {
      return t.passed ?? true
    },
  }
}
