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

const preload = (name: string) => pathToFileURL(join(import.meta.dirname, 'mutants', name)).href

/** Starts a service again as a mutant of itself. */
export async function restartAsMutant(service: ServiceProcess, replacements: readonly Replacement[]): Promise<void> {
  await service.stop()
  addPreload(service, 'replace-source.ts')
  service.plan.env.SLUICE_MUTANT = JSON.stringify(replacements)
  await service.start()
  await service.untilReady()
}

/** Loads a module of `mutants/` before the service's program, from its next start on. */
export function addPreload(service: ServiceProcess, name: string): void {
  const before = service.plan.env.NODE_OPTIONS
  service.plan.env.NODE_OPTIONS = [before, `--import ${preload(name)}`].filter(Boolean).join(' ')
}
