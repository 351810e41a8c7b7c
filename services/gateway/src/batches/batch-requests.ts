import { isPlainText } from '@sluice/runtime'
import { JsonWalker } from '../json-walker.ts'
import { type NamedModel, NamedModelReader } from '../named-models/named-model-reader.ts'
import { Refusal } from '../refusal.ts'
import { type JsonPath, JsonScanError } from '../scan-json.ts'
import { BatchReferences } from './batch-references.ts'

/** What must be known of a batch's requests before they go to the provider. */
export interface BatchRequests {
  /** Distinct, in the order of their first appearance. */
  models: string[]
  /** Models that requests name beside their own, likewise. */
  named: NamedModel[]
  count: number
}

export interface BatchAccess {
  /** It goes out under the operator's credential: its requests may not refer to anything that is kept there. */
  isShared: boolean
}

/** Reads the requests of a batch as their bytes come. Everything it throws is a Refusal. */
export interface BatchRequestsReader {
  write: (chunk: Buffer) => void
  end: () => BatchRequests
}

const maxRequests = 100_000
/** Results are matched to the models of the creation, which are kept; real batches name one or two. */
const maxModels = 64
/** A custom id becomes part of the key that its result is settled under. */
const maxCustomIdLength = 512

/** The body of `POST /v1/messages/batches`: each request needs an id of its own and a model. */
export function readMessageRequests({ isShared }: BatchAccess): BatchRequestsReader {
  const tally = new RequestTally()
  const references = isShared ? new BatchReferences(3) : undefined
  const named = new NamedModelReader(3)
  const isOwn = (path: JsonPath): boolean =>
    path[0] === 'requests' && (isAt(path, 'custom_id') || isAt(path, 'params', 'model'))
  const namesMore = (path: JsonPath): boolean => path[0] === 'requests' && path[2] === 'params' && named.wants(path)
  const walker = new JsonWalker({
    once: new Set(['requests', 'custom_id', 'params', 'model']),
    wants: path => references?.wants(path) === true || isOwn(path) || namesMore(path),
    onText: (path, text) => {
      references?.onText(path, text)
      if (namesMore(path)) named.onText(path, text)
      if (isOwn(path)) path.length === 3 ? tally.customId(text) : tally.model(text)
    },
    onClose: path => {
      references?.onClose(path)
      if (path.length !== 2 || path[0] !== 'requests') return
      references?.endRequest(`requests.${path[1]}`)
      named.endRequest()
      tally.endRequest(`requests.${path[1]}`)
    },
  })
  return {
    write: chunk => scanning(() => walker.write(chunk)),
    end: () => {
      scanning(() => walker.end())
      return { ...tally.total('"requests"'), named: named.found }
    },
  }
}

/** What must be known of a file of requests before it goes to the provider. */
export interface FileRequests extends BatchRequests {
  /** Distinct paths that the requests are for. */
  targets: string[]
}

/** A file for `POST /v1/batches`: a request a line, each with an id of its own, a path and a model. */
export function readFileRequests(
  targets: Readonly<Record<string, unknown>>,
  { isShared }: BatchAccess,
): {
  write: (chunk: Buffer) => void
  end: () => FileRequests
} {
  const tally = new RequestTally()
  const references = isShared ? new BatchReferences(2) : undefined
  const named = new NamedModelReader(2)
  const namesMore = (path: JsonPath): boolean => path[1] === 'body' && named.wants(path)
  const isOwn = (path: JsonPath): boolean =>
    path.length === 2
      ? path[1] === 'custom_id' || path[1] === 'url'
      : path.length === 3 && path[1] === 'body' && path[2] === 'model'
  const seenTargets = new Set<string>()
  let target: string | undefined
  const walker = new JsonWalker({
    sequence: true,
    once: new Set(['custom_id', 'url', 'body', 'model', 'method']),
    wants: path => references?.wants(path) === true || isOwn(path) || namesMore(path),
    onText: (path, text) => {
      references?.onText(path, text)
      if (namesMore(path)) named.onText(path, text)
      if (!isOwn(path)) return
      if (path.length === 3) tally.model(text)
      else if (path[1] === 'url') target = text
      else tally.customId(text)
    },
    onClose: path => {
      references?.onClose(path)
      if (path.length !== 1) return
      const where = `Request ${Number(path[0]) + 1} of the file`
      if (target === undefined || !Object.hasOwn(targets, target))
        throw new Refusal(
          'invalid_request',
          `${where} has no "url" that a batch can be for here: ${Object.keys(targets).join(', ')}.`,
        )
      seenTargets.add(target)
      target = undefined
      references?.endRequest(where)
      named.endRequest()
      tally.endRequest(where)
    },
  })
  return {
    write: chunk => scanning(() => walker.write(chunk)),
    end: () => {
      scanning(() => walker.end())
      return { ...tally.total('The file'), named: named.found, targets: [...seenTargets] }
    },
  }
}

function isAt(path: JsonPath, ...names: string[]): boolean {
  return path.length === 2 + names.length && names.every((name, index) => path[2 + index] === name)
}

/** Counts requests and gathers what they name. */
export class RequestTally {
  readonly #models = new Set<string>()
  readonly #customIds = new Set<string>()
  #customId: string | undefined
  #model: string | undefined
  #count = 0

  customId(text: string): void {
    this.#customId = text
  }

  model(text: string): void {
    this.#model = text
  }

  /** @param where the request in the client's own terms */
  endRequest(where: string): void {
    const customId = this.#customId
    const model = this.#model
    this.#customId = undefined
    this.#model = undefined
    if (customId === undefined || customId === '' || customId.length > maxCustomIdLength || !isPlainText(customId))
      throw new Refusal('invalid_request', `${where} has no usable "custom_id".`)
    if (this.#customIds.has(customId))
      throw new Refusal('invalid_request', `${where}: its "custom_id" is also that of an earlier request.`)
    if (model === undefined || model === '' || model.length > 256 || !isPlainText(model))
      throw new Refusal('model_missing', `${where} names no usable "model".`)
    this.#customIds.add(customId)
    this.#models.add(model)
    this.#count++
    if (this.#count > maxRequests)
      throw new Refusal('invalid_request', `A batch may have at most ${maxRequests} requests.`)
    if (this.#models.size > maxModels)
      throw new Refusal('invalid_request', `A batch may name at most ${maxModels} different models.`)
  }

  /** @param what where requests would have been */
  total(what: string): Pick<BatchRequests, 'models' | 'count'> {
    if (this.#count === 0) throw new Refusal('invalid_request', `${what} must hold at least one request.`)
    return { models: [...this.#models], count: this.#count }
  }
}

/** What is no JSON is the client's to repair. */
export function scanning<T>(scan: () => T): T {
  try {
    return scan()
  } catch (error) {
    if (error instanceof JsonScanError) throw new Refusal('invalid_request', error.message)
    throw error
  }
}
