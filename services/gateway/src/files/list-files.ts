import type { StoredFile } from '@sluice/contracts'
import type { AdmittedCall } from '../call.ts'
import { askProvider, type ProviderAnswer } from '../exchanges/ask-provider.ts'
import { answerExchange, exchange, refusalOfAway } from '../exchanges/exchange.ts'
import { readPlainRequest } from '../read-request.ts'
import { Refusal } from '../refusal.ts'
import { type GatewayDeps, type HttpCall, headersToForward } from '../request-path.ts'
import { admitForFiles } from './open-files.ts'

const maxLimit = 10_000
const maxPages = 20

/**
 * `GET /v1/files`: the provider's own list without the files of other projects, who share its credential; newest first unless
 * asked otherwise. @throws Refusal
 */
export async function listFiles(deps: GatewayDeps, call: HttpCall): Promise<void> {
  const asked = readPaging(call.match.query)
  const uploads = await deps.batches.files.ofProject(call.principal.identity.project_id)
  const admitted = admitForFiles(deps, call, readPlainRequest(Buffer.alloc(0)))
  const headers = headersToForward(deps, call, admitted)
  const { route } = admitted
  const own = ownFileIds(deps, admitted, uploads)
  try {
    const exchanged = await exchange(deps, admitted, {
      breakable: true,
      ask: async signal => {
        const found: Record<string, unknown>[] = []
        let first: ProviderAnswer | undefined
        let after: string | undefined
        for (let page = 0; page < maxPages; page++) {
          const path = `${route.basePath}/files?limit=${maxLimit}${after === undefined ? '' : `&after=${encodeURIComponent(after)}`}`
          const answer = await askProvider(deps, route, { method: 'GET', path, headers, signal })
          first ??= answer
          const list = answer.status === 200 ? parseList(answer.body) : undefined
          if (!list) return answer
          for (const file of list.data) {
            after = String(file.id)
            if (own.has(after)) found.push(file)
          }
          if (!list.hasMore || list.data.length === 0 || found.length === own.size) break
        }
        return { status: 200, headers: first?.headers ?? {}, body: compose(found, asked) }
      },
    })
    await answerExchange(call, admitted, exchanged)
  } catch (error) {
    throw refusalOfAway(error)
  }
}

function ownFileIds(
  { batches }: GatewayDeps,
  { principal, route: { access } }: AdmittedCall,
  uploads: readonly StoredFile[],
): Set<string> {
  const written = batches.jobs
    .ofProject(principal.identity.project_id, 'openai')
    .flatMap(({ job }) => (job.access === access ? (job.result_file_ids ?? []) : []))
  return new Set([...uploads.filter(file => file.access === access).map(file => file.file_id), ...written])
}

interface Paging {
  limit: number
  after: string | undefined
  purpose: string | undefined
  ascending: boolean
}

function readPaging(query: string): Paging {
  const parameters = new URLSearchParams(query)
  const limit = Number(parameters.get('limit') ?? maxLimit)
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > maxLimit)
    throw new Refusal('invalid_request', `"limit" must be a whole number from 1 to ${maxLimit}.`)
  return {
    limit,
    after: parameters.get('after') ?? undefined,
    purpose: parameters.get('purpose') ?? undefined,
    ascending: parameters.get('order') === 'asc',
  }
}

function compose(found: readonly Record<string, unknown>[], { limit, after, purpose, ascending }: Paging): Buffer {
  const files = found.filter(file => purpose === undefined || file.purpose === purpose)
  if (ascending) files.reverse()
  const start = after === undefined ? 0 : files.findIndex(file => file.id === after) + 1
  if (after !== undefined && start === 0) throw new Refusal('not_found', `There is no file "${after}" in this project.`)
  const data = files.slice(start, start + limit)
  const ids = { first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null }
  return Buffer.from(JSON.stringify({ object: 'list', data, ...ids, has_more: files.length > start + limit }))
}

function parseList(body: Buffer): { data: Record<string, unknown>[]; hasMore: boolean } | undefined {
  try {
    const { data, has_more } = JSON.parse(body.toString('utf8')) as { data?: unknown; has_more?: unknown }
    if (!Array.isArray(data)) return undefined
    return { data: data.filter(file => typeof file === 'object' && file !== null), hasMore: has_more === true }
  } catch {
    return undefined
  }
}
