import { forward } from './forward.ts'
import { type AskedMedia, type MediaFields, type MediaShape, mediaMembers, readAskedMedia } from './media-request.ts'
import { findNamedModels } from './named-models/find-named-models.ts'
import type { NamedModel } from './named-models/named-model-reader.ts'
import { proveAgain } from './prove-again.ts'
import { checkModel, type ModelRequest } from './read-request.ts'
import { Refusal } from './refusal.ts'
import {
  type AuthenticatedCall,
  admit,
  asItCame,
  type Forwarding,
  forwardToProvider,
  type GatewayDeps,
  type HttpCall,
  headersToForward,
  payAndSend,
  receiveBody,
} from './request-path.ts'
import { JsonScanError, type MemberSpan, type ScannedObject, scanObject } from './scan-json.ts'
import { applySplices, setMember } from './splice-body.ts'
import { readBoundary } from './uploads/form-frame.ts'
import { type ReceivedForm, receiveForm } from './uploads/receive-form.ts'
import { noSound, type SoundLength } from './uploads/sound-meter.ts'

/** The field of a form that names the model by which a drawing is written. */
const drawingModel = 'svg[model]'

/** Forwards a call for speech or images whose body is JSON. */
export function forwardMedia(deps: GatewayDeps, call: HttpCall): void | Promise<void> {
  return forwardToProvider(deps, call, { ...asItCame, read: readMediaRequest })
}

/** Forwards a call for a transcript or an image whose body is a form: received whole, then sent on byte for byte. */
export async function forwardUpload(deps: GatewayDeps, call: HttpCall): Promise<void> {
  const { endpoint, request, response } = call
  const shape = endpoint.shape as MediaShape
  // Images may be given by links, in JSON.
  if (shape === 'images' && /^application\/json\b/i.test(request.headers['content-type'] ?? ''))
    return forwardMedia(deps, call)
  const waitingSince = performance.now()
  const form = await receiveForm(deps.spool, request, {
    boundary: readBoundary(request.rawHeaders),
    wanted: new Set([...mediaMembers[shape], 'svg', drawingModel]),
    maxBytes: endpoint.maxBodyBytes,
  })
  response.on('close', () => form.file.discard())
  try {
    call.startedAt += performance.now() - waitingSince
    const sound = shape === 'transcript' ? await measureSound(deps, form) : noSound
    let inputImages = 0
    for (const [name, count] of form.files) if (name.startsWith('image')) inputImages += count
    const model = checkModel(form.fields.get('model'))
    const named = namedInForm(form.fields)
    const fields: MediaFields = {
      text: name => form.fields.get(name),
      promptBytes: form.bytes.get('prompt') ?? 0,
      inputImages,
      sound,
    }
    // A client that left while its upload was looked at has asked for nothing.
    if (response.destroyed) return form.file.discard()
    proveAgain(deps, call)
    const asked = { ...requestOf(call, shape, model, fields), named, body: form.file }
    await payAndSend(deps, call, ofLength(form.file.size), asked, admit(deps, call, asked))
  } catch (error) {
    form.file.discard()
    throw error
  }
}

/** Which of two files a provider hears nobody can know. @throws Refusal 400 */
function measureSound({ soundMeter }: GatewayDeps, form: ReceivedForm): Promise<SoundLength> {
  if (form.files.get('file') !== 1) throw new Refusal('invalid_request', 'The form must hold one "file".')
  const { file, boundary, bytes } = form
  return soundMeter.measure({ path: file.path, boundary, sizeBytes: bytes.get('file') ?? 0 })
}

/** A form goes out as it came, with its length. */
function ofLength(size: number): Forwarding {
  return {
    ...asItCame,
    send: (deps, call, admitted) => {
      const headers = headersToForward(deps, call, admitted)
      headers.push('content-length', String(size))
      forward(deps, admitted, headers, call.response, call.refuse)
    },
  }
}

/** @throws Refusal 400 where a drawing is described in a way that is not read here */
function namedInForm(fields: ReadonlyMap<string, string>): NamedModel[] {
  if (fields.has('svg'))
    throw new Refusal('invalid_request', `The form has a field "svg": name its parts, as in "${drawingModel}".`)
  const model = fields.get(drawingModel)
  return model === undefined ? [] : [{ model: checkModel(model, drawingModel), member: drawingModel }]
}

function requestOf(
  { prices, match }: AuthenticatedCall,
  shape: MediaShape,
  model: string,
  fields: MediaFields,
): Omit<ModelRequest, 'body'> & AskedMedia {
  const asked = readAskedMedia(shape, fields, { prices, provider: match.dialect, model })
  return { model, withholdUsage: false, estimatedInputTokens: 0, ...asked }
}

/** Reads a JSON body in one scan; where sound is to come in events, that is spliced in. @throws Refusal */
async function readMediaRequest(deps: GatewayDeps, call: AuthenticatedCall): Promise<ModelRequest> {
  const body = await receiveBody(deps, call)
  // By its prices of now it is told what is asked for.
  proveAgain(deps, call)
  try {
    const shape = call.endpoint.shape as MediaShape
    const scanned = scanObject(body, new Set([...mediaMembers[shape], 'prompt', 'svg']))
    const text = (name: string) => textOf(body, scanned.members.get(name))
    const model = checkModel(text('model'))
    const promptBytes = lengthOf(scanned, 'prompt')
    const asked = requestOf(call, shape, model, { text, promptBytes, inputImages: scanned.binaryParts, sound: noSound })
    const splices = asked.media.unwrap ? [setMember(scanned, 'stream_format', '"sse"')] : []
    const named = findNamedModels({ bytes: body, members: scanned.members, dialect: call.endpoint.dialect })
    return { ...asked, named, body: applySplices(body, splices) }
  } catch (error) {
    if (error instanceof JsonScanError) throw new Refusal('invalid_request', error.message)
    throw error
  }
}

function textOf(body: Buffer, span: MemberSpan | undefined): string | undefined {
  if (!span) return undefined
  const first = body[span.start]
  if (first === 0x7b || first === 0x5b) return undefined
  let value: unknown
  try {
    value = JSON.parse(body.toString('utf8', span.start, span.end))
  } catch {
    throw new JsonScanError('The body is not valid JSON.')
  }
  return value === null ? undefined : String(value)
}

/** Bytes of a text, its quotes left out. */
function lengthOf({ members }: ScannedObject, name: string): number {
  const span = members.get(name)
  return span ? Math.max(0, span.end - span.start - 2) : 0
}
