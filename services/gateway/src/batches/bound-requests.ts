import type { Readable } from 'node:stream'
import type { StoredFile } from '@sluice/contracts'
import type { PriceBooksOfCall } from '../allow-model.ts'
import { BatchBound } from '../bounds/batch-bound.ts'
import { boundTextCall } from '../bounds/call-bound.ts'
import { type Endpoint, endpoints } from '../endpoints.ts'
import { readModelRequest } from '../read-request.ts'
import { Refusal, type RefusalBudget } from '../refusal.ts'
import { JsonScanError, parseString, scanObject } from '../scan-json.ts'
import { ElementReader } from './element-reader.ts'

/** By which a batch's requests are bounded. */
export interface BatchTerms {
  prices: PriceBooksOfCall
  assumeDearest: boolean
}

/** No request of a batch is as large: one that is has no bound, and no hard budget pays for it. */
const maxRequestBytes = 16 * 1024 * 1024

/** Of requests that the provider may do, and that were not looked at. */
const notAllFound = 'requests that cannot be told apart'

/**
 * Bounds the body of `POST /v1/messages/batches`. It was read before: it is JSON, and each request has a model.
 * @param requests so many were read
 */
export async function boundMessageRequests(body: Readable, terms: BatchTerms, requests: number): Promise<BatchBound> {
  const bound = new BatchBound()
  const endpoint = endpoints.find(({ name }) => name === 'messages')
  let count = 0
  const reader = new ElementReader('requests', maxRequestBytes, element => {
    addRequest(
      bound,
      `requests.${count++}`,
      element,
      text => {
        const params = scanObject(text, new Set(['params'])).members.get('params')
        return endpoint && params && { endpoint, body: text.subarray(params.start, params.end) }
      },
      terms,
    )
  })
  for await (const chunk of body as AsyncIterable<Buffer>) reader.write(chunk)
  if (count !== requests) bound.addUnbounded(notAllFound)
  return bound
}

/** Bounds a file of requests, one a line, as its bytes come. */
export class FileBound {
  readonly #terms: BatchTerms
  readonly #bound = new BatchBound()
  #parts: Buffer[] = []
  #size = 0
  #count = 0

  constructor(terms: BatchTerms) {
    this.#terms = terms
  }

  write(chunk: Buffer): void {
    let at = 0
    for (let feed = chunk.indexOf(0x0a); feed >= 0; feed = chunk.indexOf(0x0a, at)) {
      this.#keep(chunk.subarray(at, feed))
      at = feed + 1
      this.#endLine()
    }
    this.#keep(chunk.subarray(at))
  }

  /** @param requests so many were read from the same file */
  total(requests: number): BatchBound {
    this.#endLine()
    if (this.#count !== requests) this.#bound.addUnbounded(notAllFound)
    return this.#bound
  }

  #keep(bytes: Buffer): void {
    this.#size += bytes.length
    if (this.#size <= maxRequestBytes) this.#parts.push(bytes)
    else this.#parts = []
  }

  #endLine(): void {
    const line = this.#size <= maxRequestBytes ? Buffer.concat(this.#parts) : undefined
    const isEmpty = line?.every(byte => byte <= 0x20)
    this.#parts = []
    this.#size = 0
    if (isEmpty) return
    addRequest(this.#bound, `request ${++this.#count} of the file`, line, requestOf, this.#terms)
  }
}

function requestOf(line: Buffer): FoundRequest | undefined {
  const { members } = scanObject(line, new Set(['url', 'body']))
  const url = members.get('url')
  const body = members.get('body')
  const path = url && parseString(line, url)
  const endpoint = endpoints.find(each => each.path === path && each.method === 'POST')
  return endpoint && body && { endpoint, body: line.subarray(body.start, body.end) }
}

/** What is kept of a bound with the file that it is of. */
export function keptBound(bound: BatchBound, terms: BatchTerms): StoredFile['requests']['bound'] {
  const { book, override } = terms.prices
  const whole = bound.within()
  const { sums } = bound
  return {
    nano_usd: whole.amount('usd', 0),
    tokens: whole.amount('tokens', 0),
    requests: whole.amount('requests', 0),
    ...(whole.unboundedBy !== undefined && { unbounded_by: whole.unboundedBy.slice(0, 256) }),
    ...(sums.length > 1 && {
      by_model: sums.map(({ model, nanoUsd, tokens, requests, unboundedBy }) => ({
        ...(model !== undefined && { model }),
        nano_usd: nanoUsd,
        tokens,
        requests,
        ...(unboundedBy !== undefined && { unbounded_by: unboundedBy.slice(0, 256) }),
      })),
    }),
    price_book_id: book.id,
    ...(override && { override_price_book_id: override.id }),
    ...(terms.assumeDearest && { assumes_dearest: true as const }),
  }
}

/**
 * The bound that was kept with a file.
 * @param budget is to pay for it
 * @throws Refusal where there is none by the terms of now
 */
export function boundOfFile(
  { file_id: id, requests }: StoredFile,
  { prices, assumeDearest }: BatchTerms,
  budget?: RefusalBudget,
): BatchBound {
  const { bound } = requests
  if (
    !bound ||
    bound.price_book_id !== prices.book.id ||
    bound.override_price_book_id !== prices.override?.id ||
    (assumeDearest && !bound.assumes_dearest)
  )
    throw new Refusal(
      'budget_not_bounded',
      `What the requests of file "${id}" can cost is not known: it was uploaded at other prices, or before there was a hard budget. Upload it again, and make the batch of the new file.`,
      budget && { budget },
    )
  // The creation is no request of the file.
  const whole = { ...bound, model: undefined, requests: bound.requests - 1 }
  return new BatchBound(
    (bound.by_model ?? [whole]).map(({ model, nano_usd: nanoUsd, tokens, requests, unbounded_by: unboundedBy }) => ({
      model,
      nanoUsd,
      tokens,
      requests,
      unboundedBy,
    })),
  )
}

interface FoundRequest {
  endpoint: Endpoint
  body: Buffer
}

/**
 * What cannot be read as a request is refused by its provider, or it is not: what it costs then is not known.
 * @param where it stands, in the client's words
 * @param text undefined: it is too long
 */
function addRequest(
  bound: BatchBound,
  where: string,
  text: Buffer | undefined,
  find: (text: Buffer) => FoundRequest | undefined,
  { prices, assumeDearest }: BatchTerms,
): void {
  if (!text) {
    bound.addUnbounded(`${where}, which is longer than ${maxRequestBytes} bytes`)
    return
  }
  const unreadable = `${where}, which cannot be read as a request here`
  try {
    const found = find(text)
    const request = found && readModelRequest(found.endpoint, found.body)
    if (!found || !request?.scanned) {
      bound.addUnbounded(unreadable)
      return
    }
    const { endpoint } = found
    const { model, named, scanned: body } = request
    const about = { dialect: endpoint.dialect, model, prices, assumeDearest, inBatch: true }
    bound.add(model, boundTextCall({ ...about, endpoint, body, named }))
  } catch (error) {
    if (!(error instanceof Refusal || error instanceof JsonScanError)) throw error
    bound.addUnbounded(unreadable)
  }
}
