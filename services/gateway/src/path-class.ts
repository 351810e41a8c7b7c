import type { Project } from '@sluice/contracts'
import type { Endpoint } from './endpoints.ts'
import { Refusal } from './refusal.ts'

/**
 * Lets an endpoint pass whose class the project has opened. @throws Refusal 403 `path_not_open`, saying who can open it
 */
export function requireOpenClass(endpoint: Endpoint, project: Project): void {
  const { pathClass } = endpoint
  if (pathClass === undefined || project.path_classes?.[pathClass] === true) return
  throw classNotOpen(`${endpoint.method} ${endpoint.path}`, pathClass, project)
}

/** The no for what belongs to a class that is off; `what` begins the sentence. */
export function classNotOpen(what: string, pathClass: NonNullable<Endpoint['pathClass']>, project: Project): Refusal {
  return new Refusal(
    'path_not_open',
    `${what} belongs to the path class "${pathClass}", which is off in project "${project.name}". An admin of the project can open it: "path_classes": {"${pathClass}": true} in PUT /accounts/projects/${project.project_id}/settings.`,
  )
}
