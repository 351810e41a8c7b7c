import { setTimeout as delay } from 'node:timers/promises'

/**
 * Waits until `check` neither throws nor answers false, and hands its answer back. A test waits for what it means, never
 * for a time. @throws the last error of `check`, or a plain one, after the time is up
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  options: { timeoutMs?: number; intervalMs?: number; message?: string } = {},
): Promise<Exclude<T, false | undefined | null>> {
  const timeoutMs = options.timeoutMs ?? 5_000
  const deadline = performance.now() + timeoutMs
  for (;;) {
    let failure: unknown
    try {
      const answer = await check()
      if (answer !== false && answer !== undefined && answer !== null)
        return answer as Exclude<T, false | undefined | null>
    } catch (error) {
      failure = error
    }
    if (performance.now() >= deadline)
      throw failure ?? new Error(`${options.message ?? 'the condition'} was not met within ${timeoutMs} ms`)
    await delay(options.intervalMs ?? 10)
  }
}
