import { isIP } from 'node:net'
import type { Dialect, Integration, Project } from '@sluice/contracts'
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
  /** Name, value, … */
  credentialHeaders: readonly string[]
  paidBy: 'managed' | 'own_credential'
  /** Whose access it is: `managed`, or the id of the project's integration. */
  access: string
  /** The operator chose this address; a project's own one may not be private. */
  trustedAddress: boolean
}

/** The operator's own access to a provider, for projects that bring none. */
export interface ManagedUpstream {
  baseUrl: string
  apiKey: string
  servedBy: string
}

export interface RouteDeps {
  managed: Record<Dialect, ManagedUpstream>
  secretBox: SecretBox
  allowPrivateUpstreams: boolean
}

/** `openai` base URLs end in `/v1`, as its SDK has it; `anthropic` ones do not. */
export const defaultBaseUrls: Record<Dialect, string> = {
  openai: 'https://api.openai.com/v1',
  anthropic: 'https://api.anthropic.com',
}

/** Finds routes; what a project's settings lead to is remembered until they change. */
export class RouteResolver {
  readonly #deps: RouteDeps
  readonly #routes = new WeakMap<Project, Map<Dialect, Route>>()
  constructor(deps: RouteDeps) {
    this.#deps = deps
  }

  /** @throws Refusal where the integration's address is private and that is not allowed here */
  resolve(project: Project, dialect: Dialect): Route {
    let routes = this.#routes.get(project)
    if (!routes) {
      routes = new Map()
      this.#routes.set(project, routes)
    }
    let route = routes.get(dialect)
    if (!route) {
      route = this.#build(project, dialect)
      routes.set(dialect, route)
    }
    return route
  }

  /** The operator's own access, whatever a project has set. @throws Refusal where there is none */
  managed(dialect: Dialect): Route {
    return managedRoute(dialect, this.#deps.managed[dialect])
  }

  #build(project: Project, dialect: Dialect): Route {
    const integration = project.integrations.find(candidate => candidate.dialect === dialect)
    if (!integration) return managedRoute(dialect, this.#deps.managed[dialect])
    const credential = integration.credential && this.#openCredential(project, integration, integration.credential)
    // A project's own address never gets the operator's credential.
    if (integration.base_url === undefined && credential === undefined)
      return managedRoute(dialect, this.#deps.managed[dialect])
    const url = new URL(integration.base_url ?? defaultBaseUrls[dialect])
    const host = url.hostname.replace(/^\[|\]$/g, '')
    if (!this.#deps.allowPrivateUpstreams && isIP(host) !== 0 && !isPublicAddress(host)) {
      throw new Refusal(
        'provider_unreachable',
        `The ${dialect} integration of project "${project.name}" points to a private address, which this installation does not allow.`,
      )
    }
    return {
      provider: dialect,
      servedBy: integration.base_url === undefined ? dialect : url.host,
      origin: url.origin,
      basePath: url.pathname.replace(/\/$/, ''),
      credentialHeaders: credential === undefined ? [] : credentialHeaders(dialect, credential),
      paidBy: 'own_credential',
      access: integration.integration_id,
      trustedAddress: this.#deps.allowPrivateUpstreams,
    }
  }

  #openCredential(
    project: Project,
    integration: Integration,
    envelope: NonNullable<Integration['credential']>,
  ): string {
    return this.#deps.secretBox.open(envelope, {
      purpose: 'integration-credential',
      projectId: project.project_id,
      rowId: integration.integration_id,
    })
  }
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
export function upstreamPath(route: Route, match: PathMatch): string {
  const path = route.provider === 'openai' ? match.path.slice(3) : match.path
  return `${route.basePath}${path}${match.query}`
}

/** Forwarded headers with what proves us to the provider, and how its answer is to come. */
export function withOurs(forwarded: readonly string[], route: Route): string[] {
  return [...forwarded, ...route.credentialHeaders, 'accept-encoding', 'identity']
}
