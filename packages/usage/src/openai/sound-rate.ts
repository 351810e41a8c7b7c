/** Bytes of a second where the sound itself does not say: samples of two bytes at 24 kHz, compressed speech as providers send it. */
const usualBytesPerSecond: Record<string, number> = { wav: 48_000, pcm: 48_000, flac: 24_000, aac: 16_000, opus: 8_000 }
const usualMp3BytesPerSecond = 20_000

/** kbit/s of layer III by the index in a frame's header: MPEG 1, MPEG 2. */
const mp3Rates = [
  [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
] as const

/** As many first bytes of sound as {@link bytesPerSecondOf} reads. */
export const soundHeadBytes = 32

/**
 * Bytes of a second of sound, by its first bytes: a WAV file says it, and so does the first frame of an MP3. Otherwise what is
 * usual for the format that was asked for.
 */
export function bytesPerSecondOf(head: Buffer, format: string | undefined): number {
  if (head.length >= soundHeadBytes && head.toString('latin1', 0, 4) === 'RIFF') {
    const told = head.readUInt32LE(28)
    if (told > 0) return told
  }
  const [first = 0, second = 0, third = 0] = head
  if (first === 0xff && (second & 0xe6) === 0xe2) {
    const kilobits = mp3Rates[(second & 0x18) === 0x18 ? 0 : 1][third >> 4] ?? 0
    if (kilobits > 0) return kilobits * 125
  }
  return usualBytesPerSecond[format ?? 'mp3'] ?? usualMp3BytesPerSecond
}

/** Bytes that stand before the sound of a WAV file. */
const wavHeaderBytes = 44

/** Milliseconds that so many bytes of sound last, told as {@link bytesPerSecondOf} does. */
export function soundMs(bytes: number, head: Buffer, format: string | undefined): number {
  const header = head.toString('latin1', 0, 4) === 'RIFF' ? wavHeaderBytes : 0
  return Math.floor((Math.max(0, bytes - header) * 1_000) / bytesPerSecondOf(head, format))
}

/** Keeps the first bytes of sound that passes, and counts all of them. */
export class SoundCount {
  readonly #format: string | undefined
  #head: Buffer = Buffer.alloc(0)
  bytes = 0

  constructor(format: string | undefined) {
    this.#format = format
  }

  add(sound: Buffer): void {
    this.bytes += sound.length
    if (this.#head.length < soundHeadBytes)
      this.#head = Buffer.concat([this.#head, sound.subarray(0, soundHeadBytes - this.#head.length)])
  }

  get bytesPerSecond(): number {
    return bytesPerSecondOf(this.#head, this.#format)
  }
}
