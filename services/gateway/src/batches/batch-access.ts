import type { BatchJob } from '@sluice/contracts'
import { Refusal } from '../refusal.ts'
import type { Route, RouteResolver } from '../resolve-route.ts'
import type { ProjectsView } from '../views/projects-view.ts'
import { batchDialects } from './batch-dialect.ts'

/**
 * The way to a batch: by the access it was made with, whatever its project uses for new calls.
 * @throws Refusal where that access is no longer there
 */
export function routeOfBatch(
  deps: { routes: RouteResolver; projects: ProjectsView },
  job: Pick<BatchJob, 'access' | 'dialect' | 'creator'>,
): Route {
  const project = job.creator && deps.projects.find(job.creator.identity.project_id)
  const route = deps.routes.ofAccess(project, job.dialect, job.access)
  if (!route)
    throw new Refusal(
      'provider_not_configured',
      'The integration that this batch was made with is no longer there. An admin of the project can set it up again.',
    )
  return route
}

/** What goes with a request about a batch that we make of our own accord. */
export function headersForBatch(job: Pick<BatchJob, 'dialect' | 'workspace_id'>): readonly string[] {
  const { headers } = batchDialects[job.dialect]
  return job.workspace_id === undefined ? headers : [...headers, 'anthropic-workspace-id', job.workspace_id]
}
