import type { Dialect } from '@sluice/contracts'
import type { AdmittedCall } from '../call.ts'
import { askProvider, type ProviderAnswer } from '../exchanges/ask-provider.ts'
import { answerExchange, exchange, refusalOfAway } from '../exchanges/exchange.ts'
import { readPlainRequest } from '../read-request.ts'
import { Refusal } from '../refusal.ts'
import { admit, type GatewayDeps, type HttpCall, headersToForward } from '../request-path.ts'
import { type BatchDialect, type BatchStanding, batchDialects } from './batch-dialect.ts'
import { mountOf } from './create-message-batch.ts'
import { ownUrl } from './results-url.ts'

interface Asked {
  after: string | undefined
  before: string | undefined
  limit: number
}

interface Listed {
  standing: BatchStanding
  object: Record<string, unknown>
}

const defaultLimit = 20
const maxPages = 20
/** Clocks of providers are not ours. */
const skewMs = 60 * 60 * 1000

/**
 * `GET …/batches`: the provider's own list without the batches of other projects, who share its credential. Paged as the
 * client asks, over what is left. @throws Refusal
 */
export async function listBatches(deps: GatewayDeps, call: HttpCall): Promise<void> {
  const { dialect, query } = call.match
  const asked = readPaging(batchDialects[dialect], query)
  const admitted = admit(deps, call, readPlainRequest(Buffer.alloc(0)))
  const headers = headersToForward(deps, call, admitted)
  try {
    const exchanged = await exchange(deps, admitted, {
      breakable: true,
      ask: signal => collect(deps, call, admitted, { asked, headers, signal }),
    })
    await answerExchange(call, admitted, exchanged)
  } catch (error) {
    throw refusalOfAway(error)
  }
}

async function collect(
  deps: GatewayDeps,
  call: HttpCall,
  admitted: AdmittedCall,
  how: { asked: Asked; headers: readonly string[]; signal: AbortSignal },
): Promise<ProviderAnswer> {
  const { dialect: name } = call.match
  const dialect = batchDialects[name]
  const { route, principal } = admitted
  const own = new Map<string, number>()
  for (const { job } of deps.batches.jobs.ofProject(principal.identity.project_id, name))
    if (job.access === route.access && job.batch_id !== undefined) own.set(job.batch_id, job.created_at_ms)
  const oldestMs = Math.min(...own.values()) - skewMs
  const found: Listed[] = []
  let after: string | undefined
  let first: ProviderAnswer | undefined
  for (let page = 0; page < maxPages; page++) {
    const answer = await askProvider(deps, route, {
      method: 'GET',
      path: `${route.basePath}${dialect.listPath(after)}`,
      headers: how.headers,
      signal: how.signal,
    })
    first ??= answer
    const list = answer.status === 200 ? parseList(answer.body) : undefined
    if (!list) return answer
    let isOlder = false
    for (const object of list.data) {
      const standing = dialect.readStanding(object)
      if (!standing) continue
      after = standing.id
      isOlder = (standing.createdAtMs ?? oldestMs) < oldestMs
      if (own.has(standing.id)) found.push({ standing, object: object as Record<string, unknown> })
    }
    const { page: wanted } = cut(found, how.asked)
    const isEnough = how.asked.before === undefined && wanted.length === how.asked.limit && found.length < own.size
    if (!list.hasMore || list.data.length === 0 || isOlder || found.length === own.size || isEnough) break
  }
  const { page, hasMore, missing } = cut(found, how.asked)
  if (missing !== undefined) throw new Refusal('not_found', `There is no batch "${missing}" in this project.`)
  // Where paging stopped early there is at least one more of ours behind it.
  const isLast = page.at(-1) === found.at(-1)
  const behind = how.asked.before === undefined && isLast && found.length < countOnPages(own, found)
  const body = compose(name, page, hasMore || behind, object => {
    if (typeof object.results_url === 'string')
      object.results_url = ownUrl(call.request, mountOf(call), String(object.id))
  })
  return { status: 200, headers: first?.headers ?? {}, body }
}

/** Ours that are older than the oldest we have met, which the provider may still list. */
function countOnPages(own: ReadonlyMap<string, number>, found: readonly Listed[]): number {
  const last = found.at(-1)
  if (!last) return 0
  const lastMs = own.get(last.standing.id) ?? 0
  let older = 0
  for (const createdAtMs of own.values()) if (createdAtMs < lastMs) older++
  return found.length + older
}

function cut(found: readonly Listed[], { after, before, limit }: Asked) {
  const placeOf = (id: string) => found.findIndex(({ standing }) => standing.id === id)
  if (before !== undefined) {
    const end = placeOf(before)
    if (end < 0) return { page: [], hasMore: false, missing: before }
    return { page: found.slice(Math.max(0, end - limit), end), hasMore: end > limit, missing: undefined }
  }
  const start = after === undefined ? 0 : placeOf(after) + 1
  if (after !== undefined && start === 0) return { page: [], hasMore: false, missing: after }
  return { page: found.slice(start, start + limit), hasMore: found.length > start + limit, missing: undefined }
}

function compose(
  dialect: Dialect,
  page: readonly Listed[],
  hasMore: boolean,
  adapt: (object: Record<string, unknown>) => void,
): Buffer {
  const data = page.map(({ object }) => {
    adapt(object)
    return object
  })
  const ids = { first_id: page[0]?.standing.id ?? null, last_id: page.at(-1)?.standing.id ?? null }
  const list = dialect === 'openai' ? { object: 'list', data, ...ids } : { data, ...ids }
  return Buffer.from(JSON.stringify({ ...list, has_more: hasMore }))
}

function parseList(body: Buffer): { data: unknown[]; hasMore: boolean } | undefined {
  try {
    const { data, has_more } = JSON.parse(body.toString('utf8')) as { data?: unknown; has_more?: unknown }
    return Array.isArray(data) ? { data, hasMore: has_more === true } : undefined
  } catch {
    return undefined
  }
}

function readPaging({ listing }: BatchDialect, query: string): Asked {
  const parameters = new URLSearchParams(query)
  const limit = Number(parameters.get('limit') ?? defaultLimit)
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > listing.maxLimit)
    throw new Refusal('invalid_request', `"limit" must be a whole number from 1 to ${listing.maxLimit}.`)
  return {
    limit,
    after: parameters.get(listing.after) ?? undefined,
    before: listing.before === undefined ? undefined : (parameters.get(listing.before) ?? undefined),
  }
}
