import { isPlainText, parseUnambiguous } from '@sluice/runtime'
import { base64Bytes, type OwnPrompt } from '@sluice/usage'
import { findNamedModels, namingMembers } from '../named-models/find-named-models.ts'
import type { NamedModel } from '../named-models/named-model-reader.ts'
import { isFalse, readReferences } from '../read-request.ts'
import type { References } from '../references/require-own-references.ts'
import { Refusal } from '../refusal.ts'
import { isTrue, JsonScanError, parseString, type ScannedObject, scanObject } from '../scan-json.ts'

/** What is read of a client's event. Its bytes are never written anew. */
export interface ClientEvent {
  type: string
  bytes: Buffer
  scanned: ScannedObject
}

const wanted: ReadonlySet<string> = new Set([
  'type',
  'event_id',
  'model',
  'response',
  'session',
  'stream_id',
  'background',
  'generate',
  'audio',
  'item',
  'previous_response_id',
  'conversation',
  'store',
  'prompt',
  'container',
  ...namingMembers,
])
const wantedOfResponse: ReadonlySet<string> = new Set([
  'model',
  'background',
  'generate',
  'instructions',
  'previous_response_id',
  'conversation',
  'store',
  'prompt',
  'container',
  ...namingMembers,
])

/**
 * Reads an event in one scan. Text or binary makes no difference: what a provider might take for an event is one.
 * @throws Refusal 400 where it is no JSON object with a type, or says one thing twice
 */
export function readClientEvent(bytes: Buffer): ClientEvent {
  return scanning(() => {
    const scanned = scanObject(bytes, wanted)
    const type = scanned.members.get('type')
    if (!type) throw new Refusal('invalid_request', 'The event has no "type".')
    return { type: parseString(bytes, type), bytes, scanned }
  })
}

/** A text member of the event; undefined where it is absent or null. @throws Refusal 400 */
export function textMember({ bytes, scanned }: ClientEvent, name: string): string | undefined {
  const span = scanned.members.get(name)
  if (!span || bytes[span.start] === 0x6e) return undefined
  const text = scanning(() => parseString(bytes, span))
  if (text.length > 256 || !isPlainText(text))
    throw new Refusal('invalid_request', `The event's "${name}" is too long or no plain text.`)
  return text
}

/**
 * The models that a `response.create` names: its own, and that of its `response`. Which one a provider takes is its
 * business, so each must be allowed. @throws Refusal 400
 */
export function modelsOfCreate(event: ClientEvent): string[] {
  const models = [textMember(event, 'model')]
  const response = innerObject(event, 'response')
  if (response) models.push(textMember(response, 'model'))
  if (isTrue(event.bytes, event.scanned.members.get('background')) || isBackground(response))
    throw new Refusal('path_not_supported', 'Background responses are not open on a socket: leave "background" out.')
  return [...new Set(models.filter(model => model !== undefined && model !== ''))] as string[]
}

/** The models that an event, or the `response` in it, names for anything else: for tools, say. @throws Refusal 400 */
export function namedModelsOf(event: ClientEvent): readonly NamedModel[] {
  const response = innerObject(event, 'response')
  const namedIn = ({ bytes, scanned }: ClientEvent, names: readonly string[]): readonly NamedModel[] =>
    scanning(() => findNamedModels({ bytes, members: scanned.members, dialect: 'openai', names }))
  const own = namedIn(event, [])
  return response ? [...own, ...namedIn(response, ['response'])] : own
}

/** What a `response.create` goes on from: by its own members and by those of its `response`. @throws Refusal 400 */
export function referencesOfCreate(event: ClientEvent): References {
  const events = [event, innerObject(event, 'response')].filter(each => each !== undefined)
  const found = events.map(({ bytes, scanned }) => scanning(() => readReferences(bytes, scanned)))
  return {
    previousResponseIds: found.flatMap(each => each.previousResponseIds),
    conversation: found.some(each => each.conversation),
    isNamed: found.some(each => each.isNamed),
    // Their places are those of two objects.
    input: undefined,
    tools: undefined,
  }
}

/** False where the provider is told not to keep the response of a `response.create`. */
export function isKept(event: ClientEvent): boolean {
  return [event, innerObject(event, 'response')].every(
    each => !each || !isFalse(each.bytes, each.scanned.members.get('store')),
  )
}

/** A `response.create` that only prepares the next one. Where it is said in one place of two, it is none. @throws Refusal 400 */
export function isWarmUp(event: ClientEvent): boolean {
  return [event, innerObject(event, 'response')].every(
    each => !each || isFalse(each.bytes, each.scanned.members.get('generate')),
  )
}

/** What a realtime `response.create` brings along for its turn alone. @throws Refusal 400 */
export function ownPromptOf(event: ClientEvent): OwnPrompt {
  const response = innerObject(event, 'response')
  if (!response) return {}
  const { bytes, scanned } = response
  const isText = (name: string): boolean => bytes[scanned.members.get(name)?.start ?? -1] === 0x22
  const input = scanned.members.get('input')
  const items = input && bytes[input.start] === 0x5b ? bytes.subarray(input.start, input.end) : undefined
  return {
    ...(isText('instructions') && { instructionBytes: memberBytes(response, 'instructions') }),
    ...(items && {
      input: {
        textBytes: Math.max(0, items.length - scanned.binaryBytes),
        audioBytes: base64Bytes(scanned.binaryBytes),
        namesItems: items.includes('"item_reference"'),
      },
    }),
    ...(isText('conversation') && textMember(response, 'conversation') === 'none' && { isApart: true }),
  }
}

function isBackground(response: ClientEvent | undefined): boolean {
  return response !== undefined && isTrue(response.bytes, response.scanned.members.get('background'))
}

/** A member that is an object, read like an event. */
export function innerObject(event: ClientEvent, name: string): ClientEvent | undefined {
  const span = event.scanned.members.get(name)
  if (!span || event.bytes[span.start] !== 0x7b) return undefined
  const bytes = event.bytes.subarray(span.start, span.end)
  return scanning(() => ({ type: '', bytes, scanned: scanObject(bytes, wantedOfResponse) }))
}

/** A member of any kind, parsed. @throws Refusal 400, also where it names anything twice */
export function parsedMember({ bytes, scanned }: ClientEvent, name: string): unknown {
  const span = scanned.members.get(name)
  if (!span) return undefined
  return scanning(() => parseUnambiguous(bytes.toString('utf8', span.start, span.end)), `event's "${name}"`)
}

/** Bytes of a text member as it stands in the event. */
export function memberBytes({ scanned }: ClientEvent, name: string): number {
  const span = scanned.members.get(name)
  return span ? Math.max(0, span.end - span.start - 2) : 0
}

function scanning<T>(scan: () => T, scanned = 'event'): T {
  try {
    return scan()
  } catch (error) {
    if (error instanceof JsonScanError) throw new Refusal('invalid_request', error.message.replace('body', scanned))
    throw error
  }
}
