import type { Readable } from 'node:stream'
import type { StoredFile } from '@sluice/contracts'
import type { PriceBooksOfCall } from '../allow-model.ts'
import { BatchBound } from '../bounds/batch-bound.ts'
import { boundTextCall, type CallBound } from '../bounds/call-bound.ts'
import { type Endpoint, endpoints } from '../endpoints.ts'
import { readModelRequest } from '../read-request.ts'
import { Refusal } from '../refusal.ts'
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
const notAllFound = BatchBound.unbounded('requests that cannot be told apart')

/**
 * Bounds the body of `POST /v1/messages/batches`. It was read before: it is JSON, and each request has a model.
 * @param requests so many were read
 */
export async function boundMessageRequests(body: Readable, terms: BatchTerms, requests: number): Promise<CallBound> {
  const bound = new BatchBound()
  const endpoint = endpoints.find(({ name }) => name === 'messages')
  let count = 0
  const reader = new ElementReader('requests', maxRequestBytes, element => {
    const where = `requests.${count++}`
    bound.add(
      looking(where, () => {
        const params = element && scanObject(element, new Set(['params'])).members.get('params')
        if (!element) return BatchBound.unbounded(tooLong(where))
        if (!endpoint || !params) return BatchBound.unbounded(unreadable(where))
        return boundOf(element.subarray(params.start, params.end), endpoint, terms, where)
      }),
    )
  })
  for await (const chunk of body as AsyncIterable<Buffer>) reader.write(chunk)
  if (count !== requests) bound.add(notAllFound)
  return bound.total()
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
  total(requests: number): CallBound {
    this.#endLine()
    if (this.#count !== requests) this.#bound.add(notAllFound)
    return this.#bound.total()
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
    const where = `request ${++this.#count} of the file`
    this.#bound.add(looking(where, () => this.#boundOf(line, where)))
  }

  #boundOf(line: Buffer | undefined, where: string): CallBound {
    if (!line) return BatchBound.unbounded(tooLong(where))
    const { members } = scanObject(line, new Set(['url', 'body']))
    const url = members.get('url')
    const body = members.get('body')
    const path = url && parseString(line, url)
    const endpoint = endpoints.find(each => each.path === path && each.method === 'POST')
    if (!body || !endpoint) return BatchBound.unbounded(unreadable(where))
    return boundOf(line.subarray(body.start, body.end), endpoint, this.#terms, where)
  }
}

/** What is kept of a bound with the file that it is of. */
export function keptBound(bound: CallBound, { book, override }: PriceBooksOfCall): StoredFile['requests']['bound'] {
  return {
    nano_usd: bound.amount('usd', 0),
    tokens: bound.amount('tokens', 0),
    requests: bound.amount('requests', 0),
    ...(bound.unboundedBy !== undefined && { unbounded_by: bound.unboundedBy.slice(0, 256) }),
    price_book_id: book.id,
    ...(override && { override_price_book_id: override.id }),
  }
}

/** The bound that was kept with a file. @throws Refusal where there is none by the prices of now */
export function boundOfFile({ file_id: id, requests }: StoredFile, { book, override }: PriceBooksOfCall): CallBound {
  const { bound } = requests
  if (!bound || bound.price_book_id !== book.id || bound.override_price_book_id !== override?.id)
    throw new Refusal(
      'budget_not_bounded',
      `What the requests of file "${id}" can cost is not known by the prices of now. Upload it again, and make the batch of the new file.`,
    )
  return BatchBound.of({
    nanoUsd: bound.nano_usd,
    tokens: bound.tokens,
    requests: bound.requests,
    unboundedBy: bound.unbounded_by,
  })
}

function boundOf(body: Buffer, endpoint: Endpoint, { prices, assumeDearest }: BatchTerms, where: string): CallBound {
  const { model, named, scanned } = readModelRequest(endpoint, body)
  if (!scanned) return BatchBound.unbounded(unreadable(where))
  const about = { dialect: endpoint.dialect, model, prices, assumeDearest, inBatch: true }
  return boundTextCall({ ...about, endpoint, body: scanned, named })
}

function tooLong(where: string): string {
  return `${where}, which is longer than ${maxRequestBytes} bytes`
}

function unreadable(where: string): string {
  return `${where}, which cannot be read as a request here`
}

/** What cannot be read as a request is refused by its provider, or it is not: what it costs then is not known. */
function looking(where: string, look: () => CallBound): CallBound {
  try {
    return look()
  } catch (error) {
    if (error instanceof Refusal || error instanceof JsonScanError) return BatchBound.unbounded(unreadable(where))
    throw error
  }
}
