/**
 * Simulates whole lives of hard budgets once with each of some mistakes, until one of them breaks a promise. Prints as JSON
 * which mistakes were found. Each has a copy of the package of its own: to load a process for each costs ten times that.
 */
import { registerHooks } from 'node:module'
import type { Replacement } from '../mutant.ts'
import { replaceSource } from '../mutants/replaced-source.ts'
import { brokenPromises, type Outcome } from '../scenario.ts'
import { runSchedules, type Schedules, type Simulate } from './lease-schedules.ts'

interface Mistake {
  name: string
  /** Of the first schedule. */
  seed: number
  replacements: readonly Replacement[]
}

const { mistakes, schedules, gateways } = JSON.parse(process.argv[2] ?? '{}') as Schedules & { mistakes: Mistake[] }
const simulation = import.meta.resolve('@sluice/leases/simulation')
const folder = new URL('..', simulation).href
const query = '?mistake='

registerHooks({
  resolve(specifier, context, nextResolve) {
    const resolved = nextResolve(specifier, context)
    const [, mistake] = context.parentURL?.split(query) ?? []
    return mistake === undefined || !resolved.url.startsWith(folder)
      ? resolved
      : { ...resolved, url: `${resolved.url}${query}${mistake}` }
  },
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context)
    const [path = '', mistake] = url.split(query)
    const made = mistake === undefined ? undefined : mistakes[Number(mistake)]
    return made === undefined ? loaded : replaceSource(path, loaded, made.replacements)
  },
})

const outcome: Outcome = { figures: {}, kept: [] }
for (const [index, { name, seed }] of mistakes.entries()) {
  const { simulate } = (await import(`${simulation}${query}${index}`)) as { simulate: Simulate }
  const [broken] = look(simulate, seed)
  outcome.kept.push({ promise: name, kept: broken !== undefined, found: broken ?? 'not found' })
}
process.stdout.write(`${JSON.stringify(outcome)}\n`)

function look(simulate: Simulate, seed: number): string[] {
  try {
    return brokenPromises(runSchedules(simulate, { schedules, gateways, seed }))
  } catch (error) {
    return [`it ends without an exception: ${error}`]
  }
}
