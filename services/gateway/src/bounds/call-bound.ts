import type { Budget, Dialect } from '@sluice/contracts'
import type { PriceBooksOfCall } from '../allow-model.ts'
import type { Endpoint } from '../endpoints.ts'
import { mayHaveEscapedNames } from '../escaped-names.ts'
import { anyModel, type NamedModel } from '../named-models/named-model-reader.ts'
import { parseString } from '../scan-json.ts'
import { type CacheWrites, type CallRates, findCallRates, type RateTerms } from './call-rates.ts'
import { type CountedBeginning, sizeByCounted } from './counted-prompts.ts'
import { type HostedTools, readHostedTools } from './hosted-tools.ts'
import { costUp, LinearBound } from './linear-bound.ts'
import { findModelLimits, type ModelLimits } from './model-limits.ts'
import { type ClampPlace, clampPlaceOf, readOutputLimits } from './output-limits.ts'
import { measurePrompt, type PromptSize } from './prompt-size.ts'
import type { ScannedBody } from './scanned-body.ts'
import { countTextBytes } from './text-bytes.ts'

export type BudgetUnit = Budget['unit']

/** How the prompt was bounded: by its bytes, or by its tokens. */
export type Tightness = 'loose' | 'tight'

/** The most that one attempt can use. Nano-USD, tokens, requests: integers, rounded up. */
export interface CallBound {
  /** Tokens of output over all choices, by the request's limit or its model's; 0 where the endpoint puts out no text. */
  readonly outputTokens: number
  /** The least output that is of use; never above `outputTokens`. */
  readonly leastOutputTokens: number
  /** Where a smaller limit can be put; undefined: the bound is held whole or the call refused. */
  readonly clamp: ClampPlace | undefined
  readonly tightness: Tightness
  /** What in the request has no bound, in the client's own words: the amounts are then a guess, and nothing exact can be held. */
  readonly unboundedBy: string | undefined
  /** What its reply begins with says all that it is charged for its input. */
  readonly isInputTold: boolean
  /** What it can come to with so much output; never less with more. */
  amount(unit: BudgetUnit, outputTokens: number): number
  /** The most output with which it fits, at most `outputTokens`; -1: not even the input does. */
  outputWithin(unit: BudgetUnit, amount: number): number
  /** The same, where the input is known to come to no more than this. */
  withInput(tokens: number, nanoUsd: number): CallBound
}

/** What admission knows of a call for text. */
export interface TextCall {
  endpoint: Pick<Endpoint, 'shape'>
  /** Whose prices. */
  dialect: Dialect
  model: string
  prices: PriceBooksOfCall
  body: ScannedBody
  /** Of its prompt, by its bytes; absent: it is measured when it is asked for. */
  size?: PromptSize | undefined
  /** What of its prompt its provider has counted before. */
  counted?: CountedBeginning | undefined
  /** The project has the highest price assumed where there is none. */
  assumeDearest: boolean
  /** In which it is served, where its reply has said so; absent: in any that the request allows. */
  servedTier?: string | undefined
  /** It is a request for a response, and that response one more. */
  inBackground?: boolean | undefined
  /** Its results are charged as those of a batch. */
  inBatch?: boolean
  /** Models that the request names beside its own. */
  named?: readonly NamedModel[] | undefined
}

/** Of any answer. */
const leastUsefulTokens = 256
/** Of an answer behind its thoughts. */
const leastBehindThoughts = 1_024
/** Lines of a bill are rounded to the nearest nano-dollar, each on its own. */
const roundingNanoUsd = 16

/** Bounds a call by the bytes of its prompt, of those that its provider has counted before by that count: no tokenizer is asked. */
export function boundTextCall(call: TextCall): CallBound {
  return boundPrompt(call, sizeByCounted(call, sizeOf(call)), 'loose')
}

/** The prompt of a call by its bytes. */
export function sizeOf({ size, body, dialect, endpoint }: TextCall): PromptSize {
  return size ?? measurePrompt(body, dialect, endpoint.shape)
}

/** @param size of the prompt, its text in bytes or in tokens */
export function boundPrompt(call: TextCall, size: PromptSize, tightness: Tightness): CallBound {
  const { dialect, model, body } = call
  const { shape } = call.endpoint
  const tools = readHostedTools(body, dialect)
  const asked = readOutputLimits(shape, dialect, body)
  const terms = readTerms(call, tools)
  const models = call.named === undefined || call.named.length === 0 ? [model] : [model, ...fallbacksOf(call.named)]
  const isText = shape !== 'embeddings'
  let outputTokens = 0
  let fixedTokens = 0
  let fixedNanoUsd = roundingNanoUsd
  let outputRate = 0
  const predicted = predictedTokens(body) * asked.choices
  for (const each of models) {
    const limits = findModelLimits(dialect, each)
    const input = inputOf(size, tools, limits, isText)
    const rates = findCallRates(call.prices, each === model ? terms : { ...terms, model: each }, input.total)
    const rate = isText ? outputRateOf(call, rates) : 0
    fixedTokens += input.total + predicted
    fixedNanoUsd +=
      costUp(input.text, rates.inText) +
      costUp(input.image, rates.inImage) +
      costUp(input.audio, rates.inAudio) +
      costUp(predicted, rate)
    outputRate += rate
    if (isText) outputTokens = Math.max(outputTokens, asked.tokens ?? limits.outputTokens * asked.choices)
    if (each === model) fixedNanoUsd += feesOf(tools, call, rates)
  }
  const leastEach = leastOutput(call)
  return new LinearBound({
    outputTokens,
    leastOutputTokens: leastEach * asked.choices,
    clamp: isText
      ? clampPlaceOf(shape, asked, Math.min(leastEach, Math.floor(outputTokens / asked.choices)))
      : undefined,
    fixedTokens,
    fixedNanoUsd: Math.min(fixedNanoUsd, Number.MAX_SAFE_INTEGER),
    outputRate,
    outputTimes: isText ? models.length : 0,
    requests: call.inBackground ? 2 : 1,
    tightness,
    unboundedBy: tools.unboundedBy ?? unboundedMember(call),
    isInputTold: shape === 'messages' && models.length === 1 && tools.uses === 0 && isPlaced(terms),
  })
}

/** It is served where and as fast as its workspace says: a reply that begins says the rest. */
function isPlaced({ geo, speed }: RateTerms): boolean {
  return geo === undefined && speed === undefined
}

/** Models that may answer in place of the one that is asked, each charged for what it did. */
function fallbacksOf(named: readonly NamedModel[]): string[] {
  return named.filter(isFallback).map(({ model }) => model)
}

function isFallback({ model, member }: NamedModel): boolean {
  return model !== anyModel && /^(?:fallbacks|models)\b/.test(member)
}

/** Members that have more done than is asked for: turns of their own, as many as the provider likes. */
function unboundedMember({ named, body: { bytes, object } }: TextCall): string | undefined {
  const any = named?.find(({ model }) => model === anyModel)
  if (any) return `"${any.member}"`
  const span = object.members.get('context_management')
  if (!span) return undefined
  const edits = bytes.subarray(span.start, span.end)
  // Clearing what is old makes a prompt shorter; summing it up is a turn.
  return edits.includes('compact') || mayHaveEscapedNames(edits) ? '"context_management"' : undefined
}

interface BoundedInput {
  text: number
  image: number
  audio: number
  total: number
}

/** What stands in the request fills no more than the window of its model, once and again for each use of a tool. */
function inputOf(size: PromptSize, tools: HostedTools, limits: ModelLimits, isText: boolean): BoundedInput {
  const { contextTokens, isKnown } = limits
  const visible = size.textTokens + size.cipherTokens + tools.promptTokens
  let text = visible
  if (isText && (size.isHidden || (isKnown && visible > contextTokens))) text = contextTokens
  text += tools.uses * contextTokens
  const audio = isKnown ? Math.min(size.audioTokens, contextTokens) : size.audioTokens
  // Images are charged at more tokens than they take of the window.
  const image = size.images * limits.imageTokens * (1 + tools.uses)
  return { text, image, audio, total: text + image + audio }
}

const textAlone = /^(?:null|"text"|\[\s*(?:"text")?\s*\])$/

function outputRateOf({ body: { bytes, object } }: TextCall, rates: CallRates): number {
  const modalities = object.members.get('modalities')
  const speaks = modalities !== undefined && !textAlone.test(bytes.toString('latin1', modalities.start, modalities.end))
  return speaks ? rates.outAudio : rates.outText
}

function feesOf(tools: HostedTools, { endpoint, model, body }: TextCall, rates: CallRates): number {
  const { webSearches, webFetches, fileSearches, containerSessions, containerGbMinutes } = tools
  // Models that search for every answer do so once, as do those of chats that are told to.
  const ofChat =
    endpoint.shape === 'chat' && (body.object.members.has('web_search_options') || model.includes('-search')) ? 1 : 0
  if (webSearches + ofChat + webFetches + fileSearches + containerSessions === 0) return 0
  return (
    costUp(webSearches + ofChat, rates.webSearch) +
    costUp(webFetches, rates.webFetch) +
    costUp(fileSearches, rates.fileSearch) +
    costUp(containerSessions, rates.containerSession) +
    costUp(containerGbMinutes, rates.containerGbMinute)
  )
}

/** What is predicted and turns out to be wrong is charged as output, beside what is put out. */
function predictedTokens({ bytes, object: { members } }: ScannedBody): number {
  const span = members.get('prediction')
  return span ? countTextBytes(bytes.subarray(span.start, span.end)) : 0
}

function leastOutput(call: TextCall): number {
  return thinks(call, call.model) ? leastBehindThoughts + thinkingBudget(call.body) : leastUsefulTokens
}

/** Something of its output may be thoughts, of which nobody sees how many they are. */
export function mayThink(call: TextCall): boolean {
  return [call.model, ...fallbacksOf(call.named ?? [])].some(model => thinks(call, model))
}

function thinks({ dialect, body: { bytes, object } }: TextCall, model: string): boolean {
  const thinking = object.members.get('thinking')
  const ofModel = findModelLimits(dialect, model).thinks
  if (!thinking) return ofModel === 'unasked'
  const isOff = thinksNot.test(bytes.toString('latin1', thinking.start, thinking.end))
  // A member of Anthropic's alone: what others make of it nobody knows.
  return !isOff || (dialect !== 'anthropic' && ofModel !== undefined)
}

const thinksNot = /^\{\s*"type"\s*:\s*"disabled"\s*\}$/

function thinkingBudget({ bytes, object: { members } }: ScannedBody): number {
  const thinking = members.get('thinking')
  const budget =
    thinking && /"budget_tokens"\s*:\s*(\d{1,9})/.exec(bytes.toString('latin1', thinking.start, thinking.end))
  return Number(budget?.[1] ?? 0)
}

const hourMark = /"ttl"\s*:\s*"1h"/

function readTerms(call: TextCall, tools: HostedTools): RateTerms {
  const { dialect, model, body, assumeDearest, inBatch = false } = call
  const { members } = body.object
  const terms: RateTerms = {
    dialect,
    model,
    tier: call.servedTier ?? tierOf(body),
    geo: undefined,
    speed: undefined,
    cacheWrites: 'none',
    searchesByPreview: tools.searchesByPreview,
    inBatch,
    assumeDearest,
  }
  if (dialect !== 'anthropic') return terms
  terms.cacheWrites = readCacheWrites(body)
  if (members.has('inference_geo')) terms.geo = textOf(body, 'inference_geo')
  if (members.has('speed')) terms.speed = textOf(body, 'speed')
  return terms
}

function readCacheWrites({ bytes, object: { members } }: ScannedBody): CacheWrites {
  // A mark stands on a message's piece, on a tool, or on the request itself.
  const isPlain =
    !members.has('cache_control') &&
    !members.has('tools') &&
    (members.get('messages')?.depth ?? 3) < 3 &&
    (members.get('system')?.depth ?? 0) < 2
  if (isPlain) return 'none'
  if (mayHaveEscapedNames(bytes)) return '1h'
  if (!bytes.includes('cache_control')) return 'none'
  return bytes.includes('"ttl"') && hourMark.test(bytes.toString('latin1')) ? '1h' : '5m'
}

/** Undefined: the provider may choose. */
function tierOf(body: ScannedBody): string | undefined {
  const tier = textOf(body, 'service_tier')
  if (tier === undefined || tier === 'auto') return undefined
  return tier === 'standard_only' ? 'standard' : tier
}

/** Of a text, each letter of which may be an escape of six bytes. */
const mostTextBytes = 6 * 64

/** A short text of the request; undefined where it is anything else. @throws JsonScanError where it is no JSON text */
function textOf({ bytes, object: { members } }: ScannedBody, name: string): string | undefined {
  const span = members.get(name)
  if (!span || bytes[span.start] !== 0x22 || span.end - span.start > mostTextBytes) return undefined
  return parseString(bytes, span)
}
