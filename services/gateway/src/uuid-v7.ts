import { randomFillSync } from 'node:crypto'

const random = Buffer.allocUnsafeSlow(8 * 1024)
let used = random.length
/** Random bytes that one id takes. */
const bytesOfOne = 11

const digits = Buffer.from('0123456789abcdef')
/** The id that is being written; its first 13 characters are the time of the one before. */
const text = Buffer.from('00000000-0000-7000-8000-000000000000')
let writtenMs = 0

/**
 * A new UUIDv7 (RFC 9562, 5.7): its time, and 74 random bits. In a third of the CPU that `node:crypto` takes for one, twice a call.
 */
export function newUuidV7(nowMs: number): string {
  if (used + bytesOfOne > random.length) {
    randomFillSync(random)
    used = 0
  }
  if (nowMs !== writtenMs) writeTime(nowMs)
  text[15] = digits[randomByte() & 0x0f] as number
  writeByte(16, randomByte())
  text[19] = digits[0x08 | (randomByte() & 0x03)] as number
  text[20] = digits[randomByte() & 0x0f] as number
  writeByte(21, randomByte())
  for (let at = 24; at < 36; at += 2) writeByte(at, randomByte())
  return text.toString('latin1')
}

function randomByte(): number {
  return random[used++] as number
}

function writeByte(at: number, byte: number): void {
  text[at] = digits[byte >> 4] as number
  text[at + 1] = digits[byte & 0x0f] as number
}

/** 48 bits, of which 32 can be shifted. */
function writeTime(nowMs: number): void {
  const high = Math.floor(nowMs / 0x1_0000)
  const low = nowMs % 0x1_0000
  writeByte(0, (high >>> 24) & 0xff)
  writeByte(2, (high >>> 16) & 0xff)
  writeByte(4, (high >>> 8) & 0xff)
  writeByte(6, high & 0xff)
  writeByte(9, low >> 8)
  writeByte(11, low & 0xff)
  writtenMs = nowMs
}
