/** The simulator's tokenizer: four UTF-8 bytes are one token, the last one may be shorter. */
export const BYTES_PER_TOKEN = 4

/** Tokens of one piece of text. */
export function countTokens(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / BYTES_PER_TOKEN)
}

// Every word is exactly one token (four bytes), so a text of n words is n tokens for whoever counts its bytes.
const ALPHABETS = {
  latin: [' sea', ' sky', ' oak', ' sun', ' ice', ' fog', ' elm', ' bay', ' dew', ' ash', ' owl', ' fir', ' mud'],
  cjk: [' 海', ' 空', ' 山', ' 川', ' 森', ' 雨', ' 雪'],
  emoji: ['🌊', '🌲', '🌞', '🌙', '🍂', '🐟', '🦉'],
} as const

export type Alphabet = keyof typeof ALPHABETS

export function isAlphabet(name: string): name is Alphabet {
  return Object.hasOwn(ALPHABETS, name)
}

/** A text of exactly `tokens` tokens, the same for the same arguments. Its first word says that it is simulated. */
export function makeText(tokens: number, alphabet: Alphabet = 'latin'): string {
  if (tokens <= 0) return ''
  const words = ALPHABETS[alphabet]
  let text = 'Sim:'
  for (let index = 1; index < tokens; index += 1) text += words[(index - 1) % words.length]
  return text
}

/** One piece of a text as it is generated: what is sent, and how many tokens it is. */
export interface Piece {
  readonly text: string
  readonly tokens: number
}

/** Cuts a text into pieces of `tokensPerPiece` tokens, never inside a character; the pieces' tokens add up to the text's. */
export function* cutText(text: string, tokensPerPiece: number): Generator<Piece> {
  const bytesPerPiece = tokensPerPiece * BYTES_PER_TOKEN
  if (Buffer.byteLength(text) === text.length) {
    for (let start = 0; start < text.length; start += bytesPerPiece) {
      const piece = text.slice(start, start + bytesPerPiece)
      yield { text: piece, tokens: Math.ceil(piece.length / BYTES_PER_TOKEN) }
    }
    return
  }
  let piece = ''
  let pieceBytes = 0
  let bytes = 0
  let counted = 0
  for (const character of text) {
    const size = Buffer.byteLength(character)
    piece += character
    pieceBytes += size
    bytes += size
    if (pieceBytes >= bytesPerPiece) {
      const total = Math.ceil(bytes / BYTES_PER_TOKEN)
      yield { text: piece, tokens: total - counted }
      counted = total
      piece = ''
      pieceBytes = 0
    }
  }
  if (piece !== '') yield { text: piece, tokens: Math.ceil(bytes / BYTES_PER_TOKEN) - counted }
}

/** The longest start of a text that is at most `tokens` tokens. */
export function takeTokens(text: string, tokens: number): string {
  if (countTokens(text) <= tokens) return text
  let taken = ''
  let bytes = 0
  for (const character of text) {
    bytes += Buffer.byteLength(character)
    if (bytes > tokens * BYTES_PER_TOKEN) break
    taken += character
  }
  return taken
}
