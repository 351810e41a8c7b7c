import { setTimeout as delay } from 'node:timers/promises'
import type { Dialect, IntegrationTestRequest, IntegrationTestResult } from '@sluice/contracts'
import { type AskDeps, askProvider, ProviderAwayError } from './exchanges/ask-provider.ts'
import { Refusal } from './refusal.ts'
import type { Route, RouteResolver } from './resolve-route.ts'
import type { ManagedIntegrationsView } from './views/managed-integrations-view.ts'
import type { ProjectsView } from './views/projects-view.ts'

export interface IntegrationTestDeps extends AskDeps {
  routes: RouteResolver
  projects: Pick<ProjectsView, 'find'>
  managed: Pick<ManagedIntegrationsView, 'find'>
}

/** For a document that was written a moment ago. */
const viewWaitMs = 2_000
const answerWaitMs = 10_000
const maxAnswerBytes = 4 * 1024 * 1024

const listings: Record<Dialect, { path: string; headers: readonly string[] }> = {
  openai: { path: '/models', headers: [] },
  anthropic: { path: '/v1/models?limit=1000', headers: ['anthropic-version', '2023-06-01'] },
}

/** Whether the provider of an integration takes its credential: what the test button of a project's, or the operator's, asks. Never throws. */
export async function testIntegration(
  deps: IntegrationTestDeps,
  asked: IntegrationTestRequest,
): Promise<IntegrationTestResult> {
  const startedAt = performance.now()
  const since = () => Math.round(performance.now() - startedAt)
  try {
    const found = await findRoute(deps, asked)
    if (!found) return { ok: false, message: 'The gateway does not know this integration yet.', duration_ms: since() }
    const { path, headers } = listings[found.dialect]
    const { status, body } = await askProvider(deps, found.route, {
      method: 'GET',
      path: found.route.basePath + path,
      headers,
      maxBytes: maxAnswerBytes,
      signal: AbortSignal.timeout(answerWaitMs),
    })
    const models = status === 200 ? countModels(body) : undefined
    return {
      ok: models !== undefined,
      message: describe(status, models, found.route),
      http_status: status,
      duration_ms: since(),
      ...(models === undefined ? {} : { models }),
    }
  } catch (error) {
    return { ok: false, message: describeFailure(error), duration_ms: since() }
  }
}

async function findRoute(
  deps: IntegrationTestDeps,
  asked: IntegrationTestRequest,
): Promise<{ route: Route; dialect: Dialect } | undefined> {
  const find = asked.project_id === undefined ? managedRoute : projectRoute
  const deadline = performance.now() + viewWaitMs
  let found = find(deps, asked)
  while (found === 'not yet' && performance.now() < deadline) {
    await delay(20)
    found = find(deps, asked)
  }
  return found === 'not yet' ? undefined : found
}

/** 'not yet': the view is older than what is to be tested. */
type Found = { route: Route; dialect: Dialect } | 'not yet' | undefined

function projectRoute(
  { routes, projects }: IntegrationTestDeps,
  { project_id, integration_id, version }: IntegrationTestRequest,
): Found {
  const project = projects.find(project_id ?? '')
  if (!project || project.version < version) return 'not yet'
  const dialect = project.integrations.find(candidate => candidate.integration_id === integration_id)?.dialect
  const route = dialect && routes.ofAccess(project, dialect, integration_id)
  return route && { route, dialect }
}

function managedRoute(
  { routes, managed }: IntegrationTestDeps,
  { integration_id, version }: IntegrationTestRequest,
): Found {
  const isAsked = (dialect: Dialect) => {
    const found = managed.find(dialect)
    return found?.integration_id === integration_id && found.version >= version
  }
  const dialect = (['openai', 'anthropic'] as const).find(isAsked)
  return dialect ? { route: routes.managed(dialect), dialect } : 'not yet'
}

function countModels(body: Buffer): number | undefined {
  try {
    const { data } = JSON.parse(body.toString('utf8')) as { data?: unknown }
    return Array.isArray(data) ? data.length : undefined
  } catch {
    return undefined
  }
}

function describe(status: number, models: number | undefined, { servedBy }: Route): string {
  if (models !== undefined) return `${servedBy} answers and lists ${models} models.`
  if (status === 401 || status === 403) return `${servedBy} does not take the credential (${status}).`
  if (status === 404) return `${servedBy} has no list of models at this address (404): check base_url.`
  if (status >= 300 && status < 400)
    return `${servedBy} sends elsewhere (${status}), and that is never followed: set the address it means as base_url.`
  if (status === 200) return `${servedBy} answers, but with no list of models: check base_url.`
  return `${servedBy} answers ${status}.`
}

function describeFailure(error: unknown): string {
  if (error instanceof ProviderAwayError) return error.failure.message
  if (error instanceof Refusal) return error.message
  return 'The test could not be made.'
}
