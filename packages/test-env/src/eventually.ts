import { setTimeout as delay } from 'node:timers/promises'

/** Nobody waits for it but a test that fails: also a machine that others use is there by then. */
const longMs = 60_000
const firstIntervalMs = 15
const longestIntervalMs = 150
/** Part of what it has waited that it waits until it asks again. */
const growth = 0.2

/**
 * Waits until `check` neither throws nor answers false, and hands its answer back. A test waits for what it means, never
 * for a time. The longer it has waited, the more seldom it asks, unless `intervalMs` says how often: asking takes from what
 * it waits for. @throws the last error of `check`, or a plain one, after the time is up
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  options: { timeoutMs?: number; intervalMs?: number; message?: string } = {},
): Promise<Exclude<T, false | undefined | null>> {
  const timeoutMs = options.timeoutMs ?? longMs
  const beganAt = performance.now()
  const deadline = beganAt + timeoutMs
  for (;;) {
    let failure: unknown
    try {
      const answer = await check()
      if (answer !== false && answer !== undefined && answer !== null)
        return answer as Exclude<T, false | undefined | null>
    } catch (error) {
      failure = error
    }
    const now = performance.now()
    if (now >= deadline)
      throw failure ?? new Error(`${options.message ?? 'the condition'} was not met within ${timeoutMs} ms`)
    await delay(options.intervalMs ?? Math.min(longestIntervalMs, Math.max(firstIntervalMs, (now - beganAt) * growth)))
  }
}
