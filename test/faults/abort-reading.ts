/** What of a reply had come. */
export interface Heard {
  text: string
  /** As it was sent: more than the bytes of `text` where it broke off inside a character. */
  textBytes: number
  soundBytes: number
  /** Bytes of a second, by the sound itself. */
  soundRate: number
  /** Searches that have begun. */
  searches: number
  /** Partial images. */
  pictures: number
  /** Of a reply that comes whole. */
  bodyBytes: number
  /** Of its usage it has told nothing, its input side, some members of it, or all. */
  told: 'nothing' | 'input' | 'some' | 'all'
}

/** How a reply is read: by its events, or by as much of its body as came. By hand: it must not come from what it judges. */
export interface Reading {
  event?: (event: AnyEvent, heard: Heard) => void
  /** @param body byte for byte, as latin1 */
  body?: (body: string, heard: Heard) => void
}

// biome-ignore lint/suspicious/noExplicitAny: events of many dialects
type AnyEvent = any

export function nothingHeard(): Heard {
  return {
    text: '',
    textBytes: 0,
    soundBytes: 0,
    soundRate: 48_000,
    searches: 0,
    pictures: 0,
    bodyBytes: 0,
    told: 'nothing',
  }
}

/** What was heard after each whole event, nothing first. */
export function hearEvents({ event: read }: Reading, events: readonly AnyEvent[]): Heard[] {
  const views = [nothingHeard()]
  const heard = nothingHeard()
  for (const event of events) {
    read?.(event, heard)
    views.push({ ...heard })
  }
  return views
}

export function hearBody({ body: read }: Reading, body: Buffer): Heard {
  const heard = { ...nothingHeard(), bodyBytes: body.length }
  read?.(body.toString('latin1'), heard)
  return heard
}

/** The data of each whole event. */
export function eventsOf(stream: Buffer): AnyEvent[] {
  const events: AnyEvent[] = []
  for (const event of stream.toString().split('\n\n').slice(0, -1)) {
    const data = /^data: (\{.*)$/m.exec(event)?.[1]
    if (data !== undefined) events.push(JSON.parse(data))
  }
  return events
}

function add(heard: Heard, ...texts: unknown[]): void {
  for (const text of texts) {
    if (typeof text !== 'string') continue
    heard.text += text
    heard.textBytes += Buffer.byteLength(text)
  }
}

function addSound(heard: Heard, base64: string): void {
  const sound = Buffer.from(base64, 'base64')
  // Layer III at 64 kbit/s; samples of two bytes at 24 kHz with a header and without.
  if (heard.soundBytes === 0 && sound[0] === 0xff) heard.soundRate = 8_000
  heard.soundBytes += sound.length
}

const ofBody =
  (text: RegExp, isTold: boolean): NonNullable<Reading['body']> =>
  (body, heard) => {
    const raw = text.exec(body)?.[1] ?? ''
    heard.textBytes = raw.length
    heard.text = Buffer.from(raw, 'latin1')
      .toString()
      .replace(/\ufffd+$/, '')
    if (!isTold) return
    if (/"usage":\{(?:[^{}]|\{[^{}]*\})*\}/.test(body)) heard.told = 'all'
    else if (body.includes('"usage":{')) heard.told = 'some'
  }

export const reading = {
  silent: {},
  chat: {
    event(event, heard) {
      for (const { delta } of event.choices ?? []) {
        add(heard, delta?.content, delta?.audio?.transcript)
        if (delta?.audio?.data) addSound(heard, delta.audio.data)
        for (const call of delta?.tool_calls ?? []) add(heard, call.function?.name, call.function?.arguments)
      }
      if (event.usage) heard.told = 'all'
    },
  },
  responses: {
    event(event, heard) {
      if (String(event.type).endsWith('.delta')) add(heard, event.delta)
      if (event.type === 'response.output_item.added' && event.item.type === 'web_search_call') heard.searches++
      if (event.response?.usage) heard.told = 'all'
    },
  },
  messages: {
    event(event, heard) {
      if (event.type === 'message_start') heard.told = 'input'
      if (event.content_block?.type === 'server_tool_use') heard.searches++
      add(heard, event.content_block?.name, event.delta?.text, event.delta?.thinking, event.delta?.partial_json)
      if (event.type === 'message_delta') heard.told = 'all'
    },
  },
  completion: {
    event(event, heard) {
      if (event.type === 'completion') add(heard, event.completion)
    },
  },
  transcript: {
    event(event, heard) {
      if (event.type === 'transcript.text.delta') add(heard, event.delta)
      if (event.type === 'transcript.text.done') heard.told = 'all'
    },
  },
  speech: {
    event(event, heard) {
      if (event.type === 'speech.audio.delta') addSound(heard, event.audio)
      if (event.type === 'speech.audio.done') heard.told = 'all'
    },
  },
  images: {
    event(event, heard) {
      if (String(event.type).endsWith('.partial_image')) heard.pictures++
      if (String(event.type).endsWith('.completed')) heard.told = 'all'
    },
  },
  realtime: {
    event(event, heard) {
      if (event.type === 'response.output_audio.delta') addSound(heard, event.delta)
      else if (String(event.type).endsWith('.delta')) add(heard, event.delta)
      if (event.type === 'response.done') heard.told = 'all'
    },
  },
  chatBody: { body: ofBody(/"content":"([^"\\]*)/, true) },
  spokenBody: {
    body(body, heard) {
      ofBody(/"transcript":"([^"\\]*)/, true)(body, heard)
      const base64 = /"data":"([^"\\]*)/.exec(body)?.[1] ?? ''
      // The header of a WAV is no sound.
      heard.soundBytes = Math.max(0, Buffer.from(base64, 'base64').length - 44)
    },
  },
  /** Vectors are nothing that is counted; its usage may have come before it broke off. */
  vectorsBody: { body: ofBody(/^(?!)/, true) },
  responseBody: { body: ofBody(/"text":"([^"\\]*)/, true) },
  messageBody: { body: ofBody(/"text":"([^"\\]*)/, true) },
  completionBody: { body: ofBody(/"completion":"([^"\\]*)/, false) },
  transcriptBody: { body: ofBody(/"text":"([^"\\]*)/, false) },
  plainText: { body: ofBody(/^(.*)$/s, false) },
  compaction: {
    body(body, heard) {
      ofBody(/"encrypted_content":"([^"\\]*)/, true)(body, heard)
      // What it says is sealed, in base64.
      heard.textBytes = Math.ceil(heard.textBytes / 4) * 3
    },
  },
} satisfies Record<string, Reading>
