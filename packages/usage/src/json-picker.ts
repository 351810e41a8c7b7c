import { parseJson } from './json-fields.ts'
import { TextSample } from './text-sample.ts'

/** Where the text of a reply stands, which is counted and not kept. */
export interface SaidMembers {
  inside: string
  /** Members that are not looked into. */
  unless: ReadonlySet<string>
  /** Of strings, only those of this name. */
  only?: string
}

/**
 * Members of an object that are kept: `whole` with everything in it, else what is named of it. Of a list, that of each
 * element.
 */
export interface PickedMembers {
  members: Readonly<Record<string, PickedMembers | 'whole'>>
  says?: SaidMembers
}

/** The size of a text and its beginning. */
export type SaidText = Pick<TextSample, 'bytes' | 'beginning'>

/** A longer string reads as an empty one: no name and no number is as long. */
const maxStringBytes = 1024
const maxNameBytes = 256
/** A number, `true`, `null`. */
const maxScalarBytes = 64
/** What is kept of a value: with more it counts as unreadable. */
const maxKeptLength = 1024 * 1024
/** Nested deeper, it counts as broken. */
const maxDepth = 256
const sampleBytes = 1024

const scalar = /^(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)$/

const quote = 0x22
const backslash = 0x5c
const openBrace = 0x7b
const closeBrace = 0x7d
const openBracket = 0x5b
const closeBracket = 0x5d
const comma = 0x2c
const colon = 0x3a

interface Frame {
  isList: boolean
  picked: PickedMembers | 'whole' | undefined
  /** Its strings count as text. */
  said: SaidMembers | undefined
  /** The member under way; of a list, the one that holds it. */
  name: string
  /** Values kept of it. */
  kept: number
}

/** What comes next in the innermost container that is not skipped. */
type Expected = 'value' | 'valueOrEnd' | 'key' | 'keyOrEnd' | 'colon' | 'commaOrEnd' | 'nothing'

/**
 * Reads JSON of any size in little memory, as it comes: keeps the members that are asked for, counts the text that is said,
 * and passes over the rest. What has broken off or goes wrong is kept up to there.
 */
export class JsonPicker {
  readonly #frames: Frame[] = []
  #expected: Expected = 'value'
  #broken = false
  #kept = ''
  #overflow = false
  /** Of the value under way. */
  #picked: PickedMembers | 'whole' | undefined
  #said: SaidMembers | undefined
  /** Containers open in a value that is skipped. */
  #skipped = 0
  #in: 'between' | 'key' | 'string' | 'skippedString' | 'scalar' = 'between'
  #escaped = false
  #pieces: Buffer[] = []
  #pieceBytes = 0
  #saidBytes = 0
  readonly #sample = new TextSample()

  constructor(picked: PickedMembers) {
    this.#picked = picked
  }

  /** What is kept; undefined where that is too much, or where no object has begun. */
  value(): unknown {
    if (this.#overflow || this.#kept === '') return undefined
    let text = this.#kept
    for (let at = this.#frames.length - 1; at >= 0; at--) {
      const frame = this.#frames[at]
      if (frame?.picked !== undefined) text += frame.isList ? ']' : '}'
    }
    return parseJson(text)
  }

  /** The value came to its end, and nothing in it was wrong. */
  get isWhole(): boolean {
    return this.#expected === 'nothing' && !this.#broken
  }

  /** The text so far, in bytes of JSON. */
  get text(): SaidText {
    return { bytes: this.#saidBytes, beginning: this.#sample.beginning }
  }

  write(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    let at = 0
    while (at < bytes.length && !this.#broken) {
      if (this.#in === 'scalar') at = this.#readScalar(bytes, at)
      else if (this.#in !== 'between') at = this.#readString(bytes, at)
      else if (this.#skipped > 0) at = this.#skip(bytes, at)
      else {
        this.#read(bytes[at] ?? 0)
        // The first byte of a number is one of its bytes.
        if (!this.#isInScalar) at++
      }
    }
  }

  get #isInScalar(): boolean {
    return this.#in === 'scalar'
  }

  #read(byte: number): void {
    if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) return
    switch (this.#expected) {
      case 'valueOrEnd':
        if (byte === closeBracket) this.#close(byte)
        else this.#begin(byte)
        break
      case 'value':
        this.#begin(byte)
        break
      case 'keyOrEnd':
        if (byte === closeBrace) this.#close(byte)
        else this.#beginKey(byte)
        break
      case 'key':
        this.#beginKey(byte)
        break
      case 'colon':
        if (byte === colon) this.#expected = 'value'
        else this.#broken = true
        break
      case 'commaOrEnd':
        if (byte === comma) this.#next()
        else this.#close(byte)
        break
      case 'nothing':
        this.#broken = true
    }
  }

  #next(): void {
    const frame = this.#frames.at(-1)
    if (frame?.isList) this.#beginElement(frame, 'value')
    else this.#expected = 'key'
  }

  #beginElement(list: Frame, expected: Expected): void {
    this.#picked = list.picked
    this.#said = list.said
    this.#expected = expected
  }

  #beginKey(byte: number): void {
    if (byte !== quote) this.#broken = true
    else this.#beginText('key')
  }

  #begin(byte: number): void {
    const isList = byte === openBracket
    if (isList || byte === openBrace) {
      if (this.#picked === undefined && this.#said === undefined) this.#skipped = 1
      else this.#open(isList)
    } else if (this.#frames.length === 0) this.#broken = true
    else if (byte === quote) this.#beginText(this.#isWanted() ? 'string' : 'skippedString')
    else if (byte === 0x2d || (byte >= 0x30 && byte <= 0x39) || (byte >= 0x61 && byte <= 0x7a)) {
      this.#beginText('scalar')
    } else this.#broken = true
  }

  #isWanted(): boolean {
    return this.#picked === 'whole' || this.#countsText()
  }

  #countsText(): boolean {
    if (this.#said === undefined) return false
    return this.#said.only === undefined || this.#said.only === this.#frames.at(-1)?.name
  }

  #open(isList: boolean): void {
    if (this.#frames.length >= maxDepth) {
      this.#broken = true
      return
    }
    const outer = this.#frames.at(-1)
    if (this.#picked !== undefined) this.#keep(isList ? '[' : '{')
    const frame: Frame = { isList, picked: this.#picked, said: this.#said, name: outer?.name ?? '', kept: 0 }
    this.#frames.push(frame)
    if (isList) this.#beginElement(frame, 'valueOrEnd')
    else this.#expected = 'keyOrEnd'
  }

  #close(byte: number): void {
    const frame = this.#frames.pop()
    if (frame === undefined || byte !== (frame.isList ? closeBracket : closeBrace)) {
      if (frame) this.#frames.push(frame)
      this.#broken = true
      return
    }
    if (frame.picked !== undefined) this.#append(frame.isList ? ']' : '}')
    this.#endValue()
  }

  #endValue(): void {
    this.#expected = this.#frames.length === 0 ? 'nothing' : 'commaOrEnd'
  }

  /** Passes over a value of no interest: most bytes of a vector are read here, and none is looked at twice. */
  #skip(bytes: Buffer, start: number): number {
    for (let at = start; at < bytes.length; at++) {
      const byte = bytes[at] ?? 0
      if (byte < openBracket && byte !== quote) continue
      if (byte === quote) {
        this.#beginText('skippedString')
        return at + 1
      }
      if (byte === openBrace || byte === openBracket) this.#skipped++
      else if (byte === closeBrace || byte === closeBracket) {
        this.#skipped--
        if (this.#skipped > 0) continue
        this.#endValue()
        return at + 1
      }
    }
    return bytes.length
  }

  #readScalar(bytes: Buffer, start: number): number {
    let end = start
    for (; end < bytes.length; end++) {
      const byte = bytes[end] ?? 0
      if (byte === comma || byte === closeBrace || byte === closeBracket || byte <= 0x20) break
    }
    const isKept = this.#picked === 'whole' && !this.#overflow
    if (isKept) this.#take(bytes.subarray(start, end), maxScalarBytes)
    if (end === bytes.length) return end
    this.#in = 'between'
    if (isKept) {
      const text = this.#pieceBytes > maxScalarBytes ? '' : this.#taken()
      this.#keep(scalar.test(text) ? text : 'null')
    }
    this.#endValue()
    return end
  }

  #beginText(kind: 'key' | 'string' | 'skippedString' | 'scalar'): void {
    this.#in = kind
    this.#pieces = []
    this.#pieceBytes = 0
  }

  /** Reads on in a string, its closing quote included. @returns the index behind it */
  #readString(bytes: Buffer, start: number): number {
    const closing = this.#closingQuote(bytes, start)
    const piece = bytes.subarray(start, closing < 0 ? bytes.length : closing)
    if (this.#in === 'key') this.#take(piece, maxNameBytes)
    else if (this.#in === 'string') {
      if (this.#picked === 'whole') this.#take(piece, maxStringBytes)
      if (this.#countsText()) this.#countText(piece)
    }
    if (closing < 0) return bytes.length
    this.#endString()
    return closing + 1
  }

  #endString(): void {
    const kind = this.#in
    this.#in = 'between'
    if (kind === 'key') {
      this.#endKey()
      return
    }
    if (kind === 'string' && this.#picked === 'whole' && !this.#overflow) {
      const text = this.#pieceBytes > maxStringBytes ? '' : this.#taken()
      this.#keep(JSON.stringify(decode(text)))
    }
    // A string in a value that is skipped ends nothing.
    if (this.#skipped === 0) this.#endValue()
  }

  #endKey(): void {
    this.#expected = 'colon'
    const frame = this.#frames.at(-1)
    if (!frame) return
    const name = this.#pieceBytes > maxNameBytes ? '' : decode(this.#taken())
    frame.name = name
    const { picked, said } = frame
    if (picked === undefined || picked === 'whole') this.#picked = picked
    else this.#picked = Object.hasOwn(picked.members, name) ? picked.members[name] : undefined
    if (said) this.#said = said.unless.has(name) ? undefined : said
    else if (picked !== undefined && picked !== 'whole' && picked.says?.inside === name) this.#said = picked.says
    else this.#said = undefined
  }

  /** The index of the quote that ends the string under way; below 0: not in these bytes. */
  #closingQuote(bytes: Buffer, start: number): number {
    let from = start
    if (this.#escaped) {
      from++
      this.#escaped = false
    }
    for (;;) {
      const found = bytes.indexOf(quote, from)
      const limit = found < 0 ? bytes.length : found
      let slashes = 0
      while (limit - 1 - slashes >= from && bytes[limit - 1 - slashes] === backslash) slashes++
      const isEscaped = slashes % 2 === 1
      if (found < 0) {
        this.#escaped = isEscaped
        return -1
      }
      if (!isEscaped) return found
      from = found + 1
    }
  }

  #countText(piece: Buffer): void {
    this.#saidBytes += piece.length
    if (this.#sample.bytes < sampleBytes) this.#sample.add(piece.toString('utf8', 0, sampleBytes))
  }

  #take(piece: Buffer, most: number): void {
    this.#pieceBytes += piece.length
    // Copied: the chunk it is of may be used again.
    if (this.#pieceBytes <= most) this.#pieces.push(Buffer.from(piece))
  }

  #taken(): string {
    return Buffer.concat(this.#pieces).toString('utf8')
  }

  /** Keeps a value, or the beginning of one, in the container it is in. */
  #keep(text: string): void {
    const frame = this.#frames.at(-1)
    if (frame === undefined) {
      this.#append(text)
      return
    }
    const separator = frame.kept > 0 ? ',' : ''
    frame.kept++
    this.#append(frame.isList ? separator + text : `${separator}${JSON.stringify(frame.name)}:${text}`)
  }

  #append(text: string): void {
    if (this.#kept.length + text.length > maxKeptLength) this.#overflow = true
    if (!this.#overflow) this.#kept += text
  }
}

/** A string of JSON without its quotes, its escapes resolved; empty where it is none. */
function decode(raw: string): string {
  const text = parseJson(`"${raw}"`)
  return typeof text === 'string' ? text : ''
}
