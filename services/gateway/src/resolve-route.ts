import { isIP } from 'node:net'
import {
  type CredentialSource,
  type Dialect,
  type Envelope,
  type Integration,
  installationProject,
  type ManagedIntegration,
  type Project,
} from '@sluice/contracts'
import { isPublicAddress, type SecretBox } from '@sluice/runtime'
import type { PathMatch } from './match-path.ts'
import { Refusal } from './refusal.ts'

/** Where an attempt goes, with what proves us to the provider. */
export interface Route {
  /** Whose model and prices: `openai`, `anthropic`. */
  provider: Dialect
  /** Who answers, as headers and reports name it: the provider, `simulator`, or the host of an integration. */
  servedBy: string
  /** `https://host:port`. */
  origin: string
  /** Of the base URL, without a trailing slash. */
  basePath: string
  /** Name, value, …: what proves us, and what else an integration sends along. */
  credentialHeaders: readonly string[]
  paidBy: 'managed' | 'own_credential'
  /** Whose access it is: `managed`, or the id of the project's integration. */
  access: string
  /** The operator chose this address; a project's own one may not be private. */
  trustedAddress: boolean
}

/** Whose counts of tokens are the same: those of one access, for as long as it leads to one address. */
export function counterOf({ access, origin, basePath }: Route): string {
  return `${access} ${origin}${basePath}`
}

/** The operator's own access to a provider, for projects that bring none. */
export interface ManagedUpstream {
  baseUrl: string
  apiKey: string
  servedBy: string
}

export interface RouteDeps {
  /** As the environment has it. */
  managed: Record<Dialect, ManagedUpstream>
  /** As the operator has set it since, which goes before. */
  findManaged: (dialect: Dialect) => ManagedIntegration | undefined
  secretBox: SecretBox
  allowPrivateUpstreams: boolean
  /** A credential that stands with the gateway; undefined: it does not. */
  readCredential: (source: CredentialSource) => string | undefined
}

/** `openai` base URLs end in `/v1`, as its SDK has it; `anthropic` ones do not. */
export const defaultBaseUrls: Record<Dialect, string> = {
  openai: 'https://api.openai.com/v1',
  anthropic: 'https://api.anthropic.com',
}

/** Whose integration it is, as messages name it, and what its secrets are sealed for. */
interface Owner {
  name: string
  projectId: string
}
const operator: Owner = { name: 'the operator', projectId: installationProject }
const ownerOf = ({ name, project_id }: Project): Owner => ({ name: `project "${name}"`, projectId: project_id })

/** Routes of one project, as its settings are now. */
interface ProjectRoutes {
  /** By the dialect; where teams have integrations of their own, by the dialect and the team. */
  chosen: Map<string, Route>
  /** By the integration's id. */
  byAccess: Map<string, Route>
  /** Whether any integration is a team's. */
  byTeam: boolean
}

/** Finds routes; what a project's settings lead to is remembered until they change. */
export class RouteResolver {
  readonly #deps: RouteDeps
  #routes = new WeakMap<Project, ProjectRoutes>()
  readonly #managed = new Map<Dialect, Route>()
  constructor(deps: RouteDeps) {
    this.#deps = deps
  }

  /**
   * Where calls go that a team pays: by the team's own integration, else by the project's, else by the operator's access.
   * @throws Refusal where the integration's address is private and that is not allowed here, or its credential is missing
   */
  resolve(project: Project, dialect: Dialect, teamId: string): Route {
    const { chosen, byTeam } = this.#of(project)
    const key = byTeam ? `${dialect} ${teamId}` : dialect
    let route = chosen.get(key)
    if (!route) {
      const integration = integrationFor(project, dialect, teamId)
      route = integration ? this.#byIntegration(project, integration) : this.managed(dialect)
      chosen.set(key, route)
    }
    return route
  }

  /**
   * By the access that something was made with, whatever new calls use. Undefined: it is no longer there.
   * @throws Refusal as {@link resolve}
   */
  ofAccess(project: Project | undefined, dialect: Dialect, access: string): Route | undefined {
    if (access === 'managed') return this.managed(dialect)
    const integration = project?.integrations.find(
      candidate => candidate.integration_id === access && candidate.dialect === dialect,
    )
    return project && integration && this.#byIntegration(project, integration)
  }

  /** The operator's own access, whatever a project has set. @throws Refusal where there is none, or as {@link resolve} */
  managed(dialect: Dialect): Route {
    let route = this.#managed.get(dialect)
    if (!route) {
      const integration = this.#deps.findManaged(dialect)
      route = integration
        ? { ...this.#build(operator, integration), paidBy: 'managed', access: 'managed' }
        : managedRoute(dialect, this.#deps.managed[dialect])
      this.#managed.set(dialect, route)
    }
    return route
  }

  /** Routes are found anew: the operator's access, or a credential that stands in a file, has changed. */
  forget(): void {
    this.#routes = new WeakMap()
    this.#managed.clear()
  }

  #of(project: Project): ProjectRoutes {
    let routes = this.#routes.get(project)
    if (!routes) {
      const byTeam = project.integrations.some(({ team_id }) => team_id !== undefined)
      routes = { chosen: new Map(), byAccess: new Map(), byTeam }
      this.#routes.set(project, routes)
    }
    return routes
  }

  #byIntegration(project: Project, integration: Integration): Route {
    const { byAccess } = this.#of(project)
    let route = byAccess.get(integration.integration_id)
    if (!route) {
      route = this.#build(ownerOf(project), integration)
      byAccess.set(integration.integration_id, route)
    }
    return route
  }

  #build(owner: Owner, integration: Integration): Route {
    const { dialect } = integration
    const credential = this.#credentialOf(owner, integration)
    // A project's own address never gets the operator's credential.
    if (integration.base_url === undefined && credential === undefined) return this.managed(dialect)
    const url = new URL(integration.base_url ?? defaultBaseUrls[dialect])
    const host = url.hostname.replace(/^\[|\]$/g, '')
    if (!this.#deps.allowPrivateUpstreams && isIP(host) !== 0 && !isPublicAddress(host)) {
      throw new Refusal(
        'provider_unreachable',
        `The ${dialect} integration of ${owner.name} points to a private address, which this installation does not allow.`,
      )
    }
    return {
      provider: dialect,
      servedBy: integration.base_url === undefined ? dialect : url.host,
      origin: url.origin,
      basePath: url.pathname.replace(/\/$/, ''),
      credentialHeaders: [
        ...(credential === undefined ? [] : credentialHeaders(dialect, credential)),
        ...this.#headersOf(owner, integration),
      ],
      paidBy: 'own_credential',
      access: integration.integration_id,
      trustedAddress: this.#deps.allowPrivateUpstreams,
    }
  }

  /** @throws Refusal where it is to stand in the environment or a file, and does not */
  #credentialOf(owner: Owner, integration: Integration): string | undefined {
    const { credential, credential_from: source } = integration
    if (source !== undefined) {
      const found = this.#deps.readCredential(source)
      if (found !== undefined) return found
      throw new Refusal(
        'provider_not_configured',
        `Integration "${nameOf(integration)}" of ${owner.name} takes its credential from ${'env' in source ? `variable ${source.env}` : `file ${source.file}`}, which this gateway does not have. Ask the operator.`,
      )
    }
    return credential && this.#open(owner, integration, 'integration-credential', credential)
  }

  #headersOf(owner: Owner, integration: Integration): string[] {
    const { organization, provider_project: ofProvider, headers } = integration
    const own = headers ? this.#open(owner, integration, 'integration-headers', headers) : '{}'
    return [
      ...(organization === undefined ? [] : ['openai-organization', organization]),
      ...(ofProvider === undefined ? [] : ['openai-project', ofProvider]),
      ...Object.entries(JSON.parse(own) as Record<string, string>).flat(),
    ]
  }

  #open(
    { projectId }: Owner,
    integration: Integration,
    purpose: 'integration-credential' | 'integration-headers',
    envelope: Envelope,
  ): string {
    return this.#deps.secretBox.open(envelope, {
      purpose,
      projectId,
      rowId: integration.integration_id,
    })
  }
}

/** The integration that calls of a team go by: the team's own, else everybody's. */
function integrationFor(project: Project, dialect: Dialect, teamId: string): Integration | undefined {
  const inUse = project.integrations.filter(candidate => candidate.dialect === dialect && candidate.standby !== true)
  return inUse.find(({ team_id }) => team_id === teamId) ?? inUse.find(({ team_id }) => team_id === undefined)
}

function nameOf({ name, integration_id }: Integration): string {
  return name ?? integration_id
}

function managedRoute(dialect: Dialect, managed: ManagedUpstream): Route {
  if (managed.apiKey === '') {
    throw new Refusal(
      'provider_not_configured',
      `There is no ${dialect} credential: neither the operator nor this project has set one. A project admin can, in its settings.`,
    )
  }
  const url = new URL(managed.baseUrl)
  return {
    provider: dialect,
    servedBy: managed.servedBy,
    origin: url.origin,
    basePath: url.pathname.replace(/\/$/, ''),
    credentialHeaders: credentialHeaders(dialect, managed.apiKey),
    paidBy: 'managed',
    access: 'managed',
    trustedAddress: true,
  }
}

function credentialHeaders(dialect: Dialect, credential: string): readonly string[] {
  return dialect === 'openai' ? ['authorization', `Bearer ${credential}`] : ['x-api-key', credential]
}

/** Whether two routes lead to the same place with the same credential. */
export function isSameUpstream(one: Route, other: Route): boolean {
  return (
    one === other ||
    (one.access === other.access &&
      one.origin === other.origin &&
      one.basePath === other.basePath &&
      one.credentialHeaders.join('\n') === other.credentialHeaders.join('\n'))
  )
}

/** The path at the provider: what stands behind our mount point, on the base URL's path. */
export function upstreamPath({ basePath, provider }: Route, { path, query }: PathMatch): string {
  const last = lastPath
  if (last.path === path && last.query === query && last.basePath === basePath && last.provider === provider)
    return last.upstream
  const upstream = `${basePath}${provider === 'openai' ? path.slice(3) : path}${query}`
  lastPath = { basePath, provider, path, query, upstream }
  return upstream
}

/** The path of the last call: that of most that follow it. */
let lastPath = { basePath: '', provider: '', path: '', query: '', upstream: '' }

/** Forwarded headers with what proves us to the provider, and how its answer is to come. */
export function withOurs(forwarded: readonly string[], route: Route): string[] {
  return [...withCredential(forwarded, route), 'accept-encoding', 'identity']
}

/** Forwarded headers with those of the route, which replace the client's of the same name. */
export function withCredential(forwarded: readonly string[], route: Route): string[] {
  return [...withoutThoseOf(route, forwarded), ...route.credentialHeaders]
}

function withoutThoseOf({ credentialHeaders }: Route, forwarded: readonly string[]): readonly string[] {
  // Clients' credentials are dropped before: only a header of an integration can stand there twice.
  if (credentialHeaders.length <= 2) return forwarded
  const ours = new Set(credentialHeaders.filter((_, at) => at % 2 === 0).map(name => name.toLowerCase()))
  return forwarded.filter((_, at) => !ours.has((forwarded[at - (at % 2)] ?? '').toLowerCase()))
}
