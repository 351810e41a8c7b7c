import { type ResponseHead, ResponseHeadReader } from './response-head.ts'
import { badResponse, UpstreamError } from './upstream-error.ts'

/** What a {@link ResponseParser} finds. */
export interface ResponseSink {
  onHead: (head: ResponseHead) => void
  /** Body without its framing; at most one piece for each piece that was fed. */
  onBody: (chunk: Buffer) => void
  /** The response is whole. `reusable`: the connection may carry the next. */
  onEnd: (reusable: boolean) => void
}

/**
 * Where the next byte belongs. `head`: status line and headers. `length`: a body of known length. `size` … `data-lf`: the
 * parts of a chunked body. `trailers`: what follows its last chunk. `close`: a body that ends with the connection. `done`: no
 * response is expected.
 */
type State =
  | 'head'
  | 'length'
  | 'size'
  | 'extension'
  | 'size-end'
  | 'data'
  | 'data-cr'
  | 'data-lf'
  | 'trailers'
  | 'close'
  | 'done'

const maxHeadBytes = 64 * 1024
const maxExtensionBytes = 4 * 1024
const maxTrailerBytes = 16 * 1024
/** 4 GiB − 1: eight digits. */
const maxSizeDigits = 8

const CR = 13
const LF = 10
const SEMICOLON = 59
const headEnd = Buffer.from('\r\n\r\n')

/**
 * Reads the responses of one HTTP/1.1 connection, one at a time (RFC 9112). What could be read in two ways is an error: the
 * next response on the connection might be somebody else's.
 */
export class ResponseParser {
  readonly #sink: ResponseSink
  readonly #heads = new ResponseHeadReader()
  #state: State = 'done'
  #method = ''
  #pending: Buffer | undefined
  /** Of the body or the chunk: bytes that are still to come. */
  #left = 0
  #digits = 0
  #extension = 0
  /** Bytes of all trailers, and of the one under way. */
  #trailers = 0
  #line = 0
  #afterCr = false
  #keepAlive = false

  constructor(sink: ResponseSink) {
    this.#sink = sink
  }

  /** A request has left: its response is what comes next. */
  expect(method: string): void {
    this.#state = 'head'
    this.#method = method
  }

  /**
   * Takes what has been read, memory included.
   * @throws UpstreamError `BAD_RESPONSE`; the connection is of no use any more
   */
  feed(bytes: Buffer): void {
    let rest: Buffer | undefined = bytes
    while (this.#state === 'head' && rest) rest = this.#readHead(rest)
    if (!rest || rest.length === 0) return
    if (this.#state === 'length') this.#readLength(rest)
    else if (this.#state === 'close') this.#sink.onBody(rest)
    else if (this.#state === 'done') throw badResponse('bytes behind a response')
    else this.#readChunked(rest)
  }

  /** The provider has closed the connection. @throws UpstreamError where the response is not whole */
  finish(): void {
    if (this.#state === 'done') return
    if (this.#state !== 'close')
      throw new UpstreamError('OTHER_SIDE_CLOSED', 'the connection was closed before the response was whole')
    this.#state = 'done'
    this.#sink.onEnd(false)
  }

  /** Reads a head and begins its body. @returns what follows it; undefined: it is not whole yet */
  #readHead(bytes: Buffer): Buffer | undefined {
    const have = this.#pending ? Buffer.concat([this.#pending, bytes]) : bytes
    const end = have.indexOf(headEnd, 0, 'latin1')
    if (end < 0 || end > maxHeadBytes) {
      if (have.length > maxHeadBytes) throw badResponse('a head of more than 64 kB')
      if (have.length > 0) this.#pending = have
      return undefined
    }
    this.#pending = undefined
    const head = this.#heads.read(have, end + 2)
    const rest = have.subarray(end + headEnd.length)
    // An interim response (RFC 9110, 15.2) says nothing that we pass on.
    if (head.status < 200) {
      if (head.status === 101) throw badResponse('a change of protocol that nobody asked for')
      return rest
    }
    this.#begin(head)
    this.#sink.onHead(head)
    if (this.#state !== 'done') return rest
    this.#end(rest.length > 0)
    return undefined
  }

  /** How the body ends (RFC 9112, 6.3). */
  #begin(head: ResponseHead): void {
    this.#keepAlive = head.keepAlive
    const bodiless = this.#method === 'HEAD' || head.status === 204 || head.status === 304
    if (bodiless || head.contentLength === 0) this.#state = 'done'
    else if (head.chunked) this.#beginSize()
    else if (head.contentLength === undefined) this.#state = 'close'
    else {
      this.#state = 'length'
      this.#left = head.contentLength
    }
  }

  #readLength(bytes: Buffer): void {
    const taken = Math.min(bytes.length, this.#left)
    this.#left -= taken
    const isLast = this.#left === 0
    if (isLast) this.#state = 'done'
    this.#sink.onBody(taken === bytes.length ? bytes : bytes.subarray(0, taken))
    if (isLast) this.#end(taken < bytes.length)
  }

  /** Takes the framing out, in place: the chunks of one read become one piece. */
  #readChunked(bytes: Buffer): void {
    let begin = -1
    let filled = 0
    let at = 0
    while (at < bytes.length && this.#state !== 'done') {
      if (this.#state === 'data') {
        const taken = Math.min(bytes.length - at, this.#left)
        if (begin < 0) begin = filled = at
        if (filled < at) bytes.copyWithin(filled, at, at + taken)
        filled += taken
        at += taken
        this.#left -= taken
        if (this.#left === 0) this.#state = 'data-cr'
      } else this.#readFraming(bytes[at++] as number)
    }
    const ended = this.#state === 'done'
    if (begin >= 0) this.#sink.onBody(bytes.subarray(begin, filled))
    if (ended) this.#end(at < bytes.length)
  }

  /** One byte between chunks. */
  #readFraming(byte: number): void {
    switch (this.#state) {
      case 'size': {
        const digit = hexDigit(byte)
        if (digit >= 0) {
          if (++this.#digits > maxSizeDigits) throw badResponse('a chunk that is too large')
          this.#left = this.#left * 16 + digit
        } else if (this.#digits === 0) throw badResponse('a chunk without a size')
        else if (byte === CR) this.#state = 'size-end'
        else if (byte === SEMICOLON) this.#state = 'extension'
        else throw badResponse('a chunk size that is no number')
        return
      }
      case 'extension':
        if (byte === CR) this.#state = 'size-end'
        else if (byte === LF || ++this.#extension > maxExtensionBytes)
          throw badResponse('a chunk extension that does not end')
        return
      case 'size-end':
        if (byte !== LF) throw badResponse('a chunk size without its line end')
        if (this.#left > 0) this.#state = 'data'
        else {
          this.#state = 'trailers'
          this.#line = 0
          this.#trailers = 0
        }
        return
      case 'data-cr':
        if (byte !== CR) throw badResponse('a chunk longer than its size')
        this.#state = 'data-lf'
        return
      case 'data-lf':
        if (byte !== LF) throw badResponse('a chunk without its line end')
        this.#beginSize()
        return
      default:
        this.#readTrailer(byte)
    }
  }

  /** Trailers are read and dropped: nothing in them is passed on. */
  #readTrailer(byte: number): void {
    if (++this.#trailers > maxTrailerBytes) throw badResponse('trailers of more than 16 kB')
    if (this.#afterCr) {
      if (byte !== LF) throw badResponse('a trailer with a lone carriage return')
      this.#afterCr = false
      if (this.#line === 0) this.#state = 'done'
      this.#line = 0
    } else if (byte === CR) this.#afterCr = true
    else if (byte === LF) throw badResponse('a trailer without its line end')
    else this.#line++
  }

  #beginSize(): void {
    this.#state = 'size'
    this.#left = 0
    this.#digits = 0
    this.#extension = 0
  }

  /** @param surplus bytes of no response have come behind it: the next one could not be trusted */
  #end(surplus: boolean): void {
    this.#sink.onEnd(this.#keepAlive && !surplus)
  }
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48
  const lower = byte | 32
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}
