import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { ServiceProcess } from '@sluice/stack'

/** A piece of source that is read otherwise. */
export interface Replacement {
  /** End of the path of the file. */
  file: string
  /** Must stand in it. */
  from: string
  to: string
}

/** A module of `mutants/` that is loaded before a service's program, and what it is told. */
export interface Preload {
  name: string
  env: Record<string, string>
}

/** Of `mutants/`, those that change Node itself, and nothing of the program that they are loaded before. */
const changeNode: ReadonlySet<string> = new Set(['broken-disk.ts', 'witness-syncs.ts'])

const preload = (name: string) => pathToFileURL(join(import.meta.dirname, 'mutants', name)).href

/** Sources of a service that are read otherwise. */
export const asMutant = (replacements: readonly Replacement[]): Preload => ({
  name: 'replace-source.ts',
  env: { SLUICE_MUTANT: JSON.stringify(replacements) },
})

/** Starts a service again as a mutant of itself. */
export function restartAsMutant(service: ServiceProcess, replacements: readonly Replacement[]): Promise<void> {
  return restartWith(service, asMutant(replacements))
}

/** Starts a service again with one more module before its program. */
export async function restartWith(service: ServiceProcess, { name, env }: Preload): Promise<void> {
  await service.stop()
  addPreload(service, name)
  Object.assign(service.plan.env, env)
  await service.start()
  await service.untilReady()
}

/** What of its plan makes a service load this module, and no other, before its program. */
export function planOf({ name, env }: Preload): Pick<ServiceProcess['plan'], 'env' | 'imports'> {
  return changeNode.has(name)
    ? { env, imports: [preload(name)] }
    : { env: { NODE_OPTIONS: `--import ${preload(name)}`, ...env } }
}

/** Loads a module of `mutants/` before the service's program, from its next start on. */
export function addPreload({ plan }: ServiceProcess, name: string): void {
  if (changeNode.has(name)) plan.imports = [...(plan.imports ?? []), preload(name)]
  else plan.env.NODE_OPTIONS = [plan.env.NODE_OPTIONS, `--import ${preload(name)}`].filter(Boolean).join(' ')
}
