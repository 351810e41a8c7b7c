const quote = 0x22
const backslash = 0x5c
const openBrace = 0x7b
const closeBrace = 0x7d
const openBracket = 0x5b
const closeBracket = 0x5d

/**
 * Cuts the objects of an array, a member of a JSON text's outermost object, out of the text as it comes. The text is known to be JSON in
 * which no member of that object stands twice.
 */
export class ElementReader {
  readonly #member: string
  /** A name as long, escaped throughout. */
  readonly #longestName: number
  readonly #maxBytes: number
  readonly #onElement: (element: Buffer | undefined) => void
  #depth = 0
  #inString = false
  #isEscaped = false
  /** The text under way in the outermost object, with its quotes: the name of a member, perhaps. */
  #text: number[] = []
  #isWanted = false
  #parts: Buffer[] = []
  #size = 0

  /** @param onElement undefined: one that is longer than `maxBytes` */
  constructor(member: string, maxBytes: number, onElement: (element: Buffer | undefined) => void) {
    this.#member = member
    this.#longestName = member.length * '\\u0000'.length + 2
    this.#maxBytes = maxBytes
    this.#onElement = onElement
  }

  write(chunk: Buffer): void {
    let start = 0
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] ?? 0
      if (this.#inString) {
        if (this.#depth === 1) this.#keepText(byte)
        if (this.#isEscaped) this.#isEscaped = false
        else if (byte === backslash) this.#isEscaped = true
        else if (byte === quote) this.#inString = false
        continue
      }
      switch (byte) {
        case quote:
          this.#inString = true
          if (this.#depth === 1) this.#text = [byte]
          break
        case openBrace:
        case openBracket:
          this.#depth++
          // Members of the outermost object are told by the name before them.
          if (this.#depth === 2) this.#isWanted = byte === openBracket && this.#isMember()
          if (this.#depth === 3) start = at
          break
        case closeBrace:
        case closeBracket:
          if (this.#depth === 3) this.#end(chunk.subarray(start, at + 1), byte)
          this.#depth--
      }
    }
    if (this.#depth >= 3) this.#keep(chunk.subarray(start))
  }

  #keepText(byte: number): void {
    if (this.#text.length <= this.#longestName) this.#text.push(byte)
  }

  /** Whether the text is the wanted name, however it is written. */
  #isMember(): boolean {
    if (this.#text.length > this.#longestName) return false
    return JSON.parse(Buffer.from(this.#text).toString()) === this.#member
  }

  #keep(bytes: Buffer): void {
    if (!this.#isWanted) return
    this.#size += bytes.length
    if (this.#size <= this.#maxBytes) this.#parts.push(bytes)
    else this.#parts = []
  }

  #end(bytes: Buffer, closing: number): void {
    if (!this.#isWanted) return
    this.#keep(bytes)
    const isKept = this.#size <= this.#maxBytes && closing === closeBrace
    const element = isKept ? Buffer.concat(this.#parts) : undefined
    this.#parts = []
    this.#size = 0
    this.#onElement(element)
  }
}
