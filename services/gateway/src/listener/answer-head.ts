// Imported as a module, it would load Node's own `fetch` as well.
const { STATUS_CODES } = process.getBuiltinModule('node:http')

/** How the end of the body is told. */
export type Framing = 'none' | 'length' | 'chunked'

/** The head of an answer, in pieces of latin1 that are written one behind the other. */
export interface AnswerHead {
  pieces: string[]
  framing: Framing
}

const noBody: ReadonlySet<number> = new Set([204, 304])
/** What stands in a header and would end it, or is no field text (RFC 9110, 5.5). */
const notFieldText = /[^\t\x20-\x7e\x80-\xff]/

/** Lines side by side that have stood so in an answer before. */
interface Run {
  end: number
  text: string
  /** {@link flat}: what comes twice is worth it. */
  isFlat: boolean
}

/** Of the last answers of this process, by their places: most headers of an answer are those of the one before. */
const lastNames: string[] = []
const lastValues: string[] = []
const lastLines: string[] = []
/** By the place of their first line. */
const runs: (Run | undefined)[] = []
/** Longer values are not kept. */
const maxKeptLength = 256

/**
 * @param keptForS how long the connection is kept; undefined: it is closed
 * @throws TypeError where a value would end its header
 */
export function encodeAnswerHead(status: number, headers: readonly string[], keptForS: number | undefined): AnswerHead {
  const pieces = [statusLine(status)]
  let framing: Framing = noBody.has(status) ? 'none' : 'chunked'
  const count = headers.length / 2
  let first = 0
  for (let place = 0; place < count; place++) {
    const name = headers[place * 2] as string
    const value = headers[place * 2 + 1] as string
    if (framing === 'chunked' && name === 'content-length') framing = 'length'
    if (lastValues[place] === value && lastNames[place] === name) continue
    const line = `${name}: ${value}\r\n`
    if (notFieldText.test(value)) throw new TypeError(`header ${name} holds what no header may`)
    if (place > first) pieces.push(runOf(first, place))
    pieces.push(line)
    first = place + 1
    forgetRunsWith(place)
    const isKept = value.length <= maxKeptLength
    lastNames[place] = isKept ? name : ''
    lastValues[place] = isKept ? value : ''
    lastLines[place] = isKept ? line : ''
  }
  if (count > first) pieces.push(runOf(first, count))
  pieces.push(endOf(keptForS, framing))
  return { pieces, framing }
}

let lastStatus = { status: 0, line: '' }

function statusLine(status: number): string {
  if (lastStatus.status !== status)
    lastStatus = { status, line: flat(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\n`) }
  return lastStatus.line
}

/** The same text in one piece of memory: one that is put together of others is slow to write. */
function flat(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1')
}

/** The lines of these places, which are those of the answer before. */
function runOf(first: number, end: number): string {
  const known = runs[first]
  if (known?.end !== end) {
    let text = ''
    for (let place = first; place < end; place++) text += lastLines[place]
    runs[first] = { end, text, isFlat: false }
    return text
  }
  if (!known.isFlat) {
    known.text = flat(known.text)
    known.isFlat = true
  }
  return known.text
}

function forgetRunsWith(place: number): void {
  for (let first = 0; first <= place; first++) {
    const run = runs[first]
    if (run && run.end > place) runs[first] = undefined
  }
}

/** What a head ends with, by the date. */
let dated = { date: '', framing: 'none' as Framing, keptForS: undefined as number | undefined, text: '' }

function endOf(keptForS: number | undefined, framing: Framing): string {
  const date = dateText()
  if (dated.date === date && dated.framing === framing && dated.keptForS === keptForS) return dated.text
  const connection =
    keptForS === undefined ? 'Connection: close' : `Connection: keep-alive\r\nKeep-Alive: timeout=${keptForS}`
  const body = framing === 'chunked' ? 'Transfer-Encoding: chunked\r\n' : ''
  const end = `Date: ${date}\r\n${connection}\r\n${body}\r\n`
  dated = { date, framing, keptForS, text: flat(end) }
  return dated.text
}

let date = ''
/** On the clock of `performance.now()`, which costs less to read. */
let dateEndsAt = 0

/** `Date`, written anew each second. */
function dateText(): string {
  const now = performance.now()
  if (now >= dateEndsAt) {
    const nowMs = Date.now()
    date = new Date(nowMs).toUTCString()
    dateEndsAt = now + 1_000 - (nowMs % 1_000)
  }
  return date
}
