import type { Project } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'

export interface ChangedProjects {
  /** Notes a project as it is now; what was noted of it before and is not settled yet need not be any more. */
  note: (project: Project) => void
  /** Ends what is under way, then stops. */
  close: () => Promise<void>
}

/** Settles what follows from projects, one project at a time and each as it is now. What fails is tried again. */
export function settleChangedProjects(
  settle: (project: Project) => Promise<void>,
  { log, retryMs = 1_000 }: { log: Logger; retryMs?: number },
): ChangedProjects {
  const waiting = new Map<string, Project>()
  let running: Promise<void> | undefined
  let retry: NodeJS.Timeout | undefined
  let closed = false

  async function run(): Promise<void> {
    for (const [projectId, project] of waiting) {
      if (closed) return
      waiting.delete(projectId)
      try {
        await settle(project)
      } catch (err) {
        log.warn({ err, projectId }, 'seat budgets not settled, will be tried again')
        if (!waiting.has(projectId)) waiting.set(projectId, project)
        retry ??= setTimeout(() => {
          retry = undefined
          start()
        }, retryMs)
        return
      }
    }
  }

  function start(): void {
    if (closed || running || retry) return
    running = run().finally(() => {
      running = undefined
      if (waiting.size > 0) start()
    })
  }

  return {
    note(project) {
      waiting.set(project.project_id, project)
      start()
    },
    async close() {
      closed = true
      clearTimeout(retry)
      await running
    },
  }
}
