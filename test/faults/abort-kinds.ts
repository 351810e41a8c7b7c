import type { Quantities } from '@sluice/contracts'
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base'
import { picture, silence } from '../clients/openai-media.ts'
import { type Heard, type Reading, reading } from './abort-reading.ts'

/** A request, byte for byte. On a socket `frames` are sent once it is open. */
export interface AbortRequest {
  path: string
  headers: Record<string, string>
  body: Buffer
  frames?: string[]
}

/** One way of asking for one path, and what an event must say of a call that had no end. */
export interface AbortKind {
  /** Of the endpoint in events, what is special about it behind a colon. */
  name: string
  /** How the reply comes: in events, whole, as sound alone, in frames of a socket. */
  via: 'events' | 'whole' | 'sound' | 'frames'
  /** What is said, of which one is chosen: orders to the simulator. */
  says: readonly string[]
  ask: (orders: string) => AbortRequest
  /** What the gateway asks the provider for, where that is something else. */
  asProvider?: (request: AbortRequest) => AbortRequest
  reading: Reading
  /** The output side, from what of the reply had come. */
  output: (heard: Heard) => Quantities
  /** The same by bytes, where text is counted and counting may have no time. */
  outputByBytes?: (heard: Heard) => Quantities
  /** The output side of a call of which no answer had come. Absent: nothing. */
  unanswered?: Quantities
  /** The input side, where the request itself tells it. Absent: it is counted as text. */
  input?: (request: AbortRequest) => Quantities
  /** What its provider must have produced, where so much has come. */
  leastProduced: (heard: Heard) => number
  isFree?: true
  /** No reply of it tells what it used. */
  tellsNothing?: true
  /** Steps of the provider's work, with a wait between them. */
  steps: number
}

/** Bytes in tokens where nobody counts. */
const told = (bytes: number): number => Math.ceil((bytes * 10) / 36)

const byBytes = ({ textBytes }: Heard): Quantities => ({ out_text: told(textBytes) })
const counted = ({ text, textBytes }: Heard): Quantities =>
  text === '' ? {} : { out_text: Math.ceil((textBytes * countTokens(text)) / Buffer.byteLength(text)) }
/** Four bytes a token, and the name of a tool, which is heard and not charged. */
const writtenBy = ({ textBytes }: Heard): number => Math.floor(Math.max(0, textBytes - 'look'.length) / 4)
/** A token is a twentieth of a second, which is told in whole milliseconds. A WAV has a header. */
const spokenBy = ({ soundBytes, soundRate }: Heard): number =>
  Math.floor((Math.max(0, soundBytes - 44) * 20) / soundRate)
const soundOf = ({ soundBytes, soundRate }: Heard): Quantities => ({
  out_audio: Math.ceil(Math.floor((soundBytes * 1_000) / soundRate) / 50),
})
const nothing = (): Quantities => ({})

const chunks = 14
/** Texts of several alphabets, in chunks of several sizes. */
const texts = [1, 2, 4].flatMap(size =>
  ['', 'alphabet=cjk ', 'alphabet=emoji '].map(
    alphabet => `${alphabet}output_tokens=${chunks * size} tokens_per_chunk=${size}`,
  ),
)
const tools = [1, 4].map(size => `tool=look tool_tokens=${chunks * size} output_tokens=0 tokens_per_chunk=${size}`)
const sounds = [1, 2, 4].map(size => `output_tokens=${chunks * size} tokens_per_chunk=${size}`)

const promptOf = (orders: string): string => `Call. [[sim ${orders}]]`

const json =
  (path: string, bodyOf: (prompt: string, orders: string) => object) =>
  (orders: string): AbortRequest => ({
    path,
    headers: { 'content-type': 'application/json' },
    body: Buffer.from(JSON.stringify(bodyOf(promptOf(orders), orders))),
  })

const boundary = 'a-border-of-parts'
const form =
  (path: string, fieldsOf: (prompt: string) => Record<string, string | Buffer>) =>
  (orders: string): AbortRequest => {
    const parts = Object.entries(fieldsOf(promptOf(orders))).flatMap(([name, value]) => [
      Buffer.from(
        `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${typeof value === 'string' ? '' : '; filename="a"'}\r\n\r\n`,
      ),
      Buffer.from(value),
      Buffer.from('\r\n'),
    ])
    return {
      path,
      headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
      body: Buffer.concat([...parts, Buffer.from(`--${boundary}--\r\n`)]),
    }
  }

const text = {
  via: 'events',
  says: texts,
  output: counted,
  outputByBytes: byBytes,
  leastProduced: writtenBy,
  steps: chunks,
} as const
const whole = { ...text, via: 'whole' } as const

const chat = (prompt: string) => ({ model: 'gpt-5.4-mini', messages: [{ role: 'user', content: prompt }] })
/** The gateway has the provider tell its usage, and keeps that chunk from a client that did not ask for it. */
const withUsageChunk = (request: AbortRequest): AbortRequest => {
  const body = JSON.parse(request.body.toString()) as object
  return { ...request, body: Buffer.from(JSON.stringify({ ...body, stream_options: { include_usage: true } })) }
}
const heardSeconds = 2
const heardSound = silence(heardSeconds).toString('base64')
const spokenChat = (format: 'wav' | 'pcm16') => (prompt: string) => ({
  model: 'gpt-audio',
  modalities: ['text', 'audio'],
  audio: { voice: 'alloy', format },
  messages: [
    {
      role: 'user',
      content: [
        { type: 'text', text: prompt },
        { type: 'input_audio', input_audio: { data: heardSound, format: 'wav' } },
      ],
    },
  ],
})
/** Words, and the sound of them: each is a chunk. */
const spokenWords = {
  says: [1, 2, 4].map(size => `output_tokens=${(chunks / 2) * size} tokens_per_chunk=${size}`),
  input: ({ body }: AbortRequest): Quantities => ({
    in_audio: heardSeconds * 10,
    in_text: told(body.length - heardSound.length - '""'.length),
  }),
  output: (heard: Heard): Quantities => ({ ...counted(heard), ...soundOf(heard) }),
  outputByBytes: (heard: Heard): Quantities => ({ ...byBytes(heard), ...soundOf(heard) }),
  leastProduced: (heard: Heard): number => writtenBy(heard) + spokenBy(heard),
} as const
const response = (prompt: string) => ({ model: 'gpt-5.4-mini', input: prompt })
const message = (prompt: string) => ({
  model: 'claude-sonnet-4-6',
  max_tokens: 4096,
  messages: [{ role: 'user', content: [{ type: 'text', text: prompt, cache_control: { type: 'ephemeral' } }] }],
})
const legacy = (prompt: string) => ({
  model: 'claude-sonnet-4-6',
  max_tokens_to_sample: 4096,
  prompt: `\n\nHuman: ${prompt}\n\nAssistant:`,
})
/** The first event of a message tells one token of output. */
const atLeastOne =
  (count: (heard: Heard) => Quantities) =>
  (heard: Heard): Quantities => ({
    ...count(heard),
    out_text: Math.max(heard.told === 'nothing' ? 0 : 1, count(heard).out_text ?? 0),
  })

/** Before the first word, so that whoever leaves leaves searches behind. */
const searching = texts.slice(0, 3).map(orders => `searches=3 ${orders}`)
const withSearches =
  (count: (heard: Heard) => Quantities) =>
  (heard: Heard): Quantities => ({ ...count(heard), ...(heard.searches > 0 && { web_search_calls: heard.searches }) })
/** The name and the words of a search are heard and not charged. */
const writtenBeside = ({ textBytes, searches }: Heard): number =>
  Math.floor(Math.max(0, textBytes - searches * 'web_search{"query":"sea"}'.length) / 4)

const textKinds: readonly AbortKind[] = [
  {
    ...text,
    name: 'chat.completions',
    says: [...texts, ...tools],
    ask: json('/v1/chat/completions', prompt => ({ ...chat(prompt), stream: true })),
    asProvider: withUsageChunk,
    reading: reading.chat,
  },
  {
    ...text,
    name: 'chat.completions: the usage chunk asked for',
    says: [...texts, ...tools],
    ask: json('/v1/chat/completions', prompt => ({
      ...chat(prompt),
      stream: true,
      stream_options: { include_usage: true },
    })),
    reading: reading.chat,
  },
  { ...whole, name: 'chat.completions: plain', ask: json('/v1/chat/completions', chat), reading: reading.chatBody },
  {
    ...text,
    ...spokenWords,
    name: 'chat.completions: spoken',
    ask: json('/v1/chat/completions', prompt => ({ ...spokenChat('pcm16')(prompt), stream: true })),
    asProvider: withUsageChunk,
    reading: reading.chat,
  },
  {
    ...whole,
    ...spokenWords,
    name: 'chat.completions: spoken, plain',
    ask: json('/v1/chat/completions', spokenChat('wav')),
    reading: reading.spokenBody,
  },
  {
    ...text,
    name: 'responses',
    says: [...texts, ...tools],
    ask: json('/v1/responses', prompt => ({ ...response(prompt), stream: true })),
    reading: reading.responses,
  },
  {
    ...text,
    name: 'responses: searching',
    says: searching,
    ask: json('/v1/responses', prompt => ({ ...response(prompt), stream: true })),
    reading: reading.responses,
    output: withSearches(counted),
    outputByBytes: withSearches(byBytes),
  },
  { ...whole, name: 'responses: plain', ask: json('/v1/responses', response), reading: reading.responseBody },
  {
    ...whole,
    name: 'responses.compact',
    ask: json('/v1/responses/compact', response),
    reading: reading.compaction,
    output: byBytes,
    steps: 1,
  },
  {
    ...text,
    name: 'messages',
    says: [...texts, ...tools],
    ask: json('/anthropic/v1/messages', prompt => ({ ...message(prompt), stream: true })),
    reading: reading.messages,
    output: atLeastOne(counted),
    outputByBytes: atLeastOne(byBytes),
  },
  {
    ...text,
    name: 'messages: searching',
    says: searching,
    ask: json('/anthropic/v1/messages', prompt => ({ ...message(prompt), stream: true })),
    reading: reading.messages,
    output: atLeastOne(withSearches(counted)),
    outputByBytes: atLeastOne(withSearches(byBytes)),
    leastProduced: writtenBeside,
  },
  { ...whole, name: 'messages: plain', ask: json('/anthropic/v1/messages', message), reading: reading.messageBody },
  {
    ...text,
    name: 'complete',
    ask: json('/anthropic/v1/complete', prompt => ({ ...legacy(prompt), stream: true })),
    reading: reading.completion,
    tellsNothing: true,
  },
  {
    ...whole,
    name: 'complete: plain',
    ask: json('/anthropic/v1/complete', legacy),
    reading: reading.completionBody,
    tellsNothing: true,
  },
  {
    ...whole,
    name: 'embeddings',
    says: [''],
    ask: json('/v1/embeddings', prompt => ({ model: 'text-embedding-3-small', input: prompt, dimensions: 64 })),
    reading: reading.vectorsBody,
    output: nothing,
    leastProduced: () => 0,
    steps: 1,
  },
  {
    ...whole,
    name: 'messages.count_tokens',
    says: [''],
    ask: json('/anthropic/v1/messages/count_tokens', prompt => ({ ...message(prompt), max_tokens: undefined })),
    reading: reading.silent,
    output: nothing,
    isFree: true,
    steps: 1,
  },
  {
    ...whole,
    name: 'responses.input_tokens',
    says: [''],
    ask: json('/v1/responses/input_tokens', response),
    reading: reading.silent,
    output: nothing,
    isFree: true,
    steps: 1,
  },
]

// ── sound ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const formats = ['mp3', 'wav', 'pcm']
const spoken = (more: object) => (orders: string) => {
  const [format = 'mp3', ...rest] = orders.split(' ')
  return json('/v1/audio/speech', prompt => ({
    model: 'gpt-4o-mini-tts',
    voice: 'alloy',
    input: prompt,
    response_format: format,
    ...more,
  }))(rest.join(' '))
}
const inputOf = ({ body }: AbortRequest): string => (JSON.parse(body.toString()) as { input: string }).input
const speech = {
  says: formats.flatMap(format => sounds.map(orders => `${format} ${orders}`)),
  reading: reading.speech,
  output: ({ soundBytes, soundRate }: Heard) => ({ out_audio: Math.ceil((soundBytes * 20) / soundRate) }),
  input: (request: AbortRequest) => ({ in_text: told(Buffer.byteLength(inputOf(request))) }),
  leastProduced: spokenBy,
  steps: chunks,
} as const

const seconds = 2
const sound = silence(seconds)
const heardForm = (path: string, model: string, more: Record<string, string> = {}) =>
  form(path, prompt => ({ model, prompt, ...more, file: sound }))
/** Of the field of a form. */
const promptBytes = ({ body }: AbortRequest): number =>
  (/name="prompt"\r\n\r\n(.*)\r\n/.exec(body.toString('latin1'))?.[1] ?? '').length
const transcript = {
  says: texts,
  output: byBytes,
  input: (request: AbortRequest) => ({ in_audio: seconds * 10, in_text: told(promptBytes(request)) }),
  leastProduced: writtenBy,
  steps: chunks,
} as const
const bySecond = {
  ...transcript,
  via: 'whole',
  reading: reading.silent,
  output: nothing,
  input: () => ({ audio_ms_in: seconds * 1000 }),
  leastProduced: () => 0,
} as const

const soundKinds: readonly AbortKind[] = [
  { ...speech, name: 'audio.speech: in events', via: 'events', ask: spoken({ stream_format: 'sse' }) },
  {
    ...speech,
    name: 'audio.speech: as sound',
    via: 'sound',
    ask: spoken({}),
    asProvider: request => {
      const body = JSON.parse(request.body.toString()) as object
      return { ...request, body: Buffer.from(JSON.stringify({ ...body, stream_format: 'sse' })) }
    },
  },
  {
    ...speech,
    name: 'audio.speech: sold by the character',
    via: 'sound',
    ask: spoken({ model: 'tts-1' }),
    reading: reading.silent,
    output: nothing,
    input: request => ({ chars_in: [...inputOf(request)].length }),
    leastProduced: () => 0,
  },
  {
    ...transcript,
    name: 'audio.transcriptions: in events',
    via: 'events',
    ask: heardForm('/v1/audio/transcriptions', 'gpt-4o-transcribe', { stream: 'true' }),
    reading: reading.transcript,
  },
  {
    ...transcript,
    name: 'audio.transcriptions: plain',
    via: 'whole',
    ask: heardForm('/v1/audio/transcriptions', 'gpt-4o-transcribe'),
    reading: reading.transcriptBody,
  },
  {
    ...transcript,
    name: 'audio.transcriptions: as text',
    via: 'whole',
    ask: heardForm('/v1/audio/transcriptions', 'gpt-4o-transcribe', { response_format: 'text' }),
    reading: reading.plainText,
    tellsNothing: true,
  },
  {
    ...bySecond,
    name: 'audio.transcriptions: sold by the second',
    ask: heardForm('/v1/audio/transcriptions', 'whisper-1'),
  },
  { ...bySecond, name: 'audio.translations', ask: heardForm('/v1/audio/translations', 'whisper-1') },
]

// ── images ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Tokens of a square image of low quality, of a partial one, of one that is given. */
const [square, partial, given] = [272, 100, 323]
const partials = 3
const drawn = { model: 'gpt-image-1.5', quality: 'low', size: '256x256' }
const inEvents = { stream: 'true', partial_images: String(partials) }
const images = {
  says: [''],
  reading: reading.images,
  // Half-way from the last one that came to the next.
  output: ({ pictures }: Heard) => ({
    out_image: Math.ceil((square * (2 * pictures + 1)) / (2 * (partials + 1))) + pictures * partial,
  }),
  leastProduced: ({ pictures }: Heard) => pictures * partial + Math.floor((square * pictures) / (partials + 1)),
  unanswered: { out_image: square / 2 },
  steps: 8,
} as const
const wholeImages = {
  ...images,
  via: 'whole',
  reading: reading.images,
  // What is being sent has been made.
  output: ({ bodyBytes }: Heard) => ({ out_image: bodyBytes > 0 ? square : square / 2 }),
  leastProduced: ({ bodyBytes }: Heard) => (bodyBytes > 0 ? square : 0),
} as const
const promptOfJson = ({ body }: AbortRequest) => ({
  in_text: told(Buffer.byteLength((JSON.parse(body.toString()) as { prompt: string }).prompt)),
})
const promptOfForm = (request: AbortRequest) => ({ in_text: told(promptBytes(request)), in_image: given })
const byPiece = {
  ...wholeImages,
  reading: reading.silent,
  output: nothing,
  unanswered: {},
  input: () => ({ images: 1 }),
  leastProduced: () => 0,
} as const

const imageKinds: readonly AbortKind[] = [
  {
    ...images,
    name: 'images.generations: in events',
    via: 'events',
    ask: json('/v1/images/generations', prompt => ({ ...drawn, prompt, stream: true, partial_images: partials })),
    input: promptOfJson,
  },
  {
    ...wholeImages,
    name: 'images.generations: plain',
    ask: json('/v1/images/generations', prompt => ({ ...drawn, prompt })),
    input: promptOfJson,
  },
  {
    ...byPiece,
    name: 'images.generations: sold by the piece',
    ask: json('/v1/images/generations', prompt => ({ model: 'dall-e-2', size: '256x256', prompt })),
  },
  {
    ...images,
    name: 'images.edits: in events',
    via: 'events',
    ask: form('/v1/images/edits', prompt => ({ ...drawn, prompt, ...inEvents, image: picture })),
    input: promptOfForm,
  },
  {
    ...wholeImages,
    name: 'images.edits: plain',
    ask: form('/v1/images/edits', prompt => ({ ...drawn, prompt, image: picture })),
    input: promptOfForm,
  },
  {
    ...byPiece,
    name: 'images.variations',
    ask: form('/v1/images/variations', () => ({ model: 'dall-e-2', size: '256x256', image: picture })),
  },
]

// ── sockets ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const onSocket =
  (path: string, framesOf: (prompt: string) => object[]) =>
  (orders: string): AbortRequest => ({
    path,
    headers: {},
    body: Buffer.alloc(0),
    frames: framesOf(promptOf(orders)).map(frame => JSON.stringify(frame)),
  })
const lengthOf = (frame: string | undefined): number => Buffer.byteLength(frame ?? '')

/** A second of silence. */
const breath = Buffer.alloc(48_000).toString('base64')
const turn = (modality: 'audio' | 'text') => (prompt: string) => [
  { type: 'input_audio_buffer.append', audio: breath },
  { type: 'input_audio_buffer.commit' },
  {
    type: 'conversation.item.create',
    item: { type: 'message', role: 'user', content: [{ type: 'input_text', text: prompt }] },
  },
  { type: 'response.create', response: { output_modalities: [modality] } },
]
const realtime = {
  via: 'frames',
  says: sounds,
  reading: reading.realtime,
  output: ({ textBytes, soundBytes }: Heard) => ({
    out_text: told(textBytes),
    out_audio: Math.ceil(Math.ceil(soundBytes / 48) / 50),
  }),
  input: ({ frames }: AbortRequest) => ({ in_audio: 10, in_text: told(lengthOf(frames?.[2])) }),
  leastProduced: ({ textBytes, soundBytes }: Heard) => Math.floor(textBytes / 4) + Math.floor(soundBytes / 2_400),
  steps: chunks,
} as const

const socketKinds: readonly AbortKind[] = [
  {
    ...text,
    name: 'responses.websocket',
    via: 'frames',
    says: [...texts, ...tools],
    ask: onSocket('/v1/responses', prompt => [{ type: 'response.create', ...response(prompt) }]),
    reading: reading.responses,
  },
  { ...realtime, name: 'realtime', ask: onSocket('/v1/realtime?model=gpt-realtime', turn('audio')) },
  { ...realtime, name: 'realtime: in words', ask: onSocket('/v1/realtime?model=gpt-realtime', turn('text')) },
]

/** Every path that can be left, in each way in which its reply comes. */
export const abortKinds: readonly AbortKind[] = [...textKinds, ...soundKinds, ...imageKinds, ...socketKinds]
