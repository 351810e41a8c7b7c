import type { Dialect } from '@sluice/contracts'
import type { PickedMembers, SaidText, UsageResult } from '@sluice/usage'
import type { ReplyShapeName } from '../reply-reader.ts'
import { anthropicBatches } from './anthropic-batches.ts'
import { openaiBatches } from './openai-batches.ts'

/** A batch as its provider describes it. */
export interface BatchStanding {
  id: string
  /** Undefined where the provider says none that can be read. */
  createdAtMs: number | undefined
  /** Nothing more will be worked on: what it costs is known. */
  ended: boolean
  endedAtMs: number | undefined
  /** Requests in it, and how many have an end of their own; undefined where it does not say. */
  requestCount: number | undefined
  inputFileId: string | undefined
  /** OpenAI: the path that its requests are for. */
  targetEndpoint: string | undefined
  resultFileIds: string[]
}

/** One request of a batch as it ended. */
export interface BatchResult {
  /** Undefined where its line cannot be read; then its place names it. */
  customId: string | undefined
  place?: string
  /** `succeeded`, or why not: `errored`, `canceled`, `expired`; `unreadable`: nobody knows. */
  outcome: string
  /** Undefined where only success has a reply: nothing is charged then. */
  usage: UsageResult | undefined
  /** How the reply is read where its usage is missing or doubtful, and the reply itself. */
  shape: ReplyShapeName
  reply: unknown
  /** What it says, where that is no longer in `reply`. */
  said?: SaidText
  httpStatus: number
  errorCode: string | undefined
}

/** What the batch API of a provider looks like. Paths are behind its base URL. */
export interface BatchDialect {
  /** Sent with what we ask of our own accord. */
  headers: readonly string[]
  objectPath: (batchId: string) => string
  /** A page of the newest batches, behind `after` where it is given. */
  listPath: (after: string | undefined) => string
  /** Names of the client's own paging, and its bound. */
  listing: { after: string; before: string | undefined; maxLimit: number }
  /** Where the results of an ended batch are. */
  resultPaths: (standing: BatchStanding) => string[]
  /** Undefined where it is no batch. */
  readStanding: (object: unknown) => BatchStanding | undefined
  /** How replies in results are read, and what `readResult` reads of a line. */
  resultLine: (targetEndpoint: string | undefined) => { shape: ReplyShapeName; members: PickedMembers }
  /** @throws Error where the line is no result */
  readResult: (line: unknown, targetEndpoint: string | undefined) => BatchResult
}

export const batchDialects: Readonly<Record<Dialect, BatchDialect>> = {
  anthropic: anthropicBatches,
  openai: openaiBatches,
}
