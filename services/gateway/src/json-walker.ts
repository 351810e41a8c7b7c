import { type JsonPath, JsonScanError } from './scan-json.ts'

export interface JsonWalkerOptions {
  /** Names whose second appearance in one object is an error: readers disagree on which of two counts. */
  once: ReadonlySet<string>
  /** Says whether the text at this path is wanted. The path changes behind the call: do not keep it. */
  wants: (path: JsonPath) => boolean
  onText: (path: JsonPath, text: string) => void
  /** An object or array has ended. */
  onClose: (path: JsonPath) => void
  /** Several values follow each other, as in JSON lines; the first name of a path is then the value's number. */
  sequence?: boolean
}

const quote = 0x22
const backslash = 0x5c
const openBrace = 0x7b
const closeBrace = 0x7d
const openBracket = 0x5b
const closeBracket = 0x5d
const comma = 0x2c
const colon = 0x3a
const lineFeed = 0x0a

/** Deeper than any real request; beyond it a provider's parser and ours may disagree. */
const maxDepth = 512
/** Wanted texts are ids and names. */
const maxTextBytes = 4096

/** What may come next. `first`: behind an opening bracket, where the container may also end at once. */
type Expected = 'value' | 'firstValue' | 'firstKey' | 'key' | 'colon' | 'commaOrEnd'

interface Frame {
  closer: number
  seen: Set<string> | undefined
}

/**
 * Reads JSON that comes in pieces, in one pass and in bounded memory: nothing is kept but the wanted texts. The structure
 * is checked as far as it decides what a name belongs to; what is wrong inside numbers and literals is the provider's to say.
 *
 * The picker that reads replies (`usage`) is another: it never throws, passes over what is of no interest in one loop, and
 * keeps what is. Paths, names that may stand once and errors would slow down every reply for the sake of request bodies.
 */
export class JsonWalker {
  readonly #options: JsonWalkerOptions
  readonly #path: (string | number)[] = []
  readonly #frames: Frame[] = []
  #expected: Expected = 'value'
  #values = 0
  #inText = false
  #inScalar = false
  /** The byte before was a backslash that escapes the next one. */
  #escaped = false
  #textIs: 'key' | 'wanted' | 'skipped' = 'skipped'
  #text: Buffer[] = []
  #textBytes = 0

  constructor(options: JsonWalkerOptions) {
    this.#options = options
  }

  /** Outermost values that have begun. */
  get values(): number {
    return this.#values
  }

  /** @throws JsonScanError */
  write(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#inText) {
        at = this.#readText(chunk, at)
        continue
      }
      const byte = chunk[at] ?? 0
      if (this.#inScalar) {
        if (byte !== comma && byte !== closeBrace && byte !== closeBracket && byte > 0x20) {
          at++
          continue
        }
        this.#inScalar = false
        this.#endValue()
      }
      at++
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) this.#read(byte)
    }
  }

  /** @throws JsonScanError where something is left open */
  end(): void {
    if (this.#inScalar) {
      this.#inScalar = false
      this.#endValue()
    }
    if (this.#inText || this.#frames.length > 0) throw new JsonScanError('The body is not valid JSON: it ends early.')
    if (this.#values === 0) throw new JsonScanError('The body is empty.')
  }

  #read(byte: number): void {
    switch (this.#expected) {
      case 'firstValue':
        if (byte === closeBracket) this.#close(byte)
        else this.#beginValue(byte)
        break
      case 'value':
        this.#beginValue(byte)
        break
      case 'firstKey':
        if (byte === closeBrace) this.#close(byte)
        else this.#beginKey(byte)
        break
      case 'key':
        this.#beginKey(byte)
        break
      case 'colon':
        if (byte !== colon) throw invalid()
        this.#expected = 'value'
        break
      case 'commaOrEnd':
        if (byte === comma) this.#next()
        else this.#close(byte)
    }
  }

  /** Behind a comma. */
  #next(): void {
    if (this.#frames.at(-1)?.closer === closeBrace) this.#expected = 'key'
    else {
      this.#expected = 'value'
      this.#count()
    }
  }

  #beginKey(byte: number): void {
    if (byte !== quote) throw invalid()
    this.#beginText('key')
  }

  #beginValue(byte: number): void {
    if (this.#frames.length === 0) {
      if (this.#values > 0 && this.#options.sequence !== true)
        throw new JsonScanError('The body has bytes behind its JSON object.')
      if (this.#options.sequence === true) this.#path[0] = this.#values
      this.#values++
    }
    if (byte === quote) {
      this.#beginText(this.#options.wants(this.#path) ? 'wanted' : 'skipped')
    } else if (byte === openBrace) this.#open(closeBrace, 'firstKey')
    else if (byte === openBracket) this.#open(closeBracket, 'firstValue')
    else if (byte === 0x2d || (byte >= 0x30 && byte <= 0x39) || (byte >= 0x61 && byte <= 0x7a)) this.#inScalar = true
    else throw invalid()
  }

  #open(closer: number, expected: Expected): void {
    if (this.#frames.length >= maxDepth) throw new JsonScanError('The body is nested too deeply.')
    this.#frames.push({ closer, seen: undefined })
    this.#expected = expected
    this.#path.push(closer === closeBracket ? 0 : '')
  }

  /** The next element of an array. */
  #count(): void {
    const last = this.#path.length - 1
    this.#path[last] = Number(this.#path[last]) + 1
  }

  #close(byte: number): void {
    const frame = this.#frames.pop()
    if (frame?.closer !== byte) throw invalid()
    this.#path.pop()
    this.#options.onClose(this.#path)
    this.#endValue()
  }

  #endValue(): void {
    this.#expected = this.#frames.length === 0 ? 'value' : 'commaOrEnd'
  }

  #beginText(is: 'key' | 'wanted' | 'skipped'): void {
    this.#inText = true
    this.#textIs = is
    this.#text = []
    this.#textBytes = 0
  }

  /** Reads on in a text that began before `at`. @returns where to go on */
  #readText(chunk: Buffer, at: number): number {
    let start = at
    if (this.#escaped) {
      start++
      this.#escaped = false
    }
    let found = start - 1
    for (;;) {
      found = chunk.indexOf(quote, found + 1)
      const limit = found < 0 ? chunk.length : found
      let backslashes = 0
      while (limit - 1 - backslashes >= start && chunk[limit - 1 - backslashes] === backslash) backslashes++
      const escapes = backslashes % 2 === 1
      // A reader that goes line by line would find another value in the middle of a text.
      if (!escapes && chunk.subarray(at, limit).includes(lineFeed)) throw invalid()
      if (found < 0) {
        this.#escaped = escapes
        this.#keep(chunk.subarray(at))
        return chunk.length
      }
      if (escapes) continue
      this.#keep(chunk.subarray(at, found))
      this.#inText = false
      this.#endText()
      return found + 1
    }
  }

  #keep(bytes: Buffer): void {
    if (this.#textIs === 'skipped') return
    this.#textBytes += bytes.length
    if (this.#textBytes <= maxTextBytes) this.#text.push(Buffer.from(bytes))
    else if (this.#textIs === 'wanted') throw new JsonScanError('An id or a model name of the body is too long.')
  }

  #endText(): void {
    if (this.#expected === 'firstKey' || this.#expected === 'key') {
      this.#expected = 'colon'
      if (this.#textIs === 'key') this.#endKey()
      return
    }
    if (this.#textIs === 'wanted') this.#options.onText(this.#path, this.#decode())
    this.#endValue()
  }

  #endKey(): void {
    const frame = this.#frames.at(-1)
    // A name of that length is none that anyone looks for.
    const key = this.#textBytes > maxTextBytes ? '' : this.#decode()
    if (frame && this.#options.once.has(key)) {
      frame.seen ??= new Set()
      if (frame.seen.has(key)) throw new JsonScanError(`The body names "${key}" twice in one object.`)
      frame.seen.add(key)
    }
    this.#path[this.#path.length - 1] = key
  }

  /** With escapes resolved: `"mod\u0065l"` is `model` to every provider. */
  #decode(): string {
    const raw = Buffer.concat(this.#text).toString('utf8')
    if (!raw.includes('\\')) return raw
    try {
      return JSON.parse(`"${raw}"`) as string
    } catch {
      throw invalid()
    }
  }
}

function invalid(): JsonScanError {
  return new JsonScanError('The body is not valid JSON.')
}
