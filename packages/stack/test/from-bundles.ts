// Loaded before `npm start`'s program: it starts services from the bundles of a test run, which takes half of what their sources take.
import { registerHooks } from 'node:module'
import type { ServiceName } from '@sluice/contracts'
import { runStack as runFromSources, type StackOptions } from '../src/run-stack.ts'

export { missingServices } from '../src/run-stack.ts'

const bundles = process.env.SLUICE_TEST_BUNDLES
/** Default: all of them. */
const services = process.env.SLUICE_TEST_SERVICES?.split(',') as ServiceName[] | undefined

export function runStack(options: StackOptions): ReturnType<typeof runFromSources> {
  return runFromSources({
    ...options,
    ...(bundles === undefined ? {} : { bundles }),
    ...(services === undefined ? {} : { services }),
  })
}

const start = import.meta.resolve('../src/start.ts')
registerHooks({
  resolve: (specifier, context, next) =>
    next(specifier === './run-stack.ts' && context.parentURL === start ? import.meta.url : specifier, context),
})
