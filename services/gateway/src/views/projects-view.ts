import { type Bus, followBucket } from '@sluice/bus'
import { Project } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'

/** Settings of all projects, in memory, from KV `projects`: as fresh as `keys-view.ts` says. */
export interface ProjectsView {
  find: (projectId: string) => Project | undefined
  freshAtMs: () => number
  close: () => Promise<void>
}

/** @param onChange called after a project's settings changed or it is gone */
export async function followProjects(
  bus: Bus,
  log: Logger,
  onChange: (projectId: string, project: Project | undefined) => void,
): Promise<ProjectsView> {
  const view = await followBucket(bus, 'projects', Project, { log, onChange })
  return { find: view.get, freshAtMs: view.freshAtMs, close: view.close }
}
