import asyncHooks from 'node:async_hooks'

// Loaded before each test file of a run. Node follows every promise, to fail the test that an error which nobody caught comes
// from: a seventh of what tests take. In a run such an error fails the file, and stands here with its stack; `node --test` and
// the file say which test it is of.
const { createHook } = asyncHooks
asyncHooks.createHook = callbacks => createHook({ ...callbacks, trackPromises: false } as typeof callbacks)

const tell = (error: unknown) =>
  process.stderr.write(`nobody caught this: ${error instanceof Error ? error.stack : error}\n`)
process.on('uncaughtExceptionMonitor', (error, origin) => origin === 'uncaughtException' && tell(error))
process.on('unhandledRejection', tell)
