import { crc32 } from 'node:zlib'

/**
 * What a segment is made of: frames of `u32 length | u32 crc32 | payload`, both numbers little-endian. `length` counts the
 * payload, `crc32` (zlib's) covers it. The payload is one type byte and JSON in UTF-8. A reader skips types it does not know.
 * A length of zero is the end: the rest of the file was set aside and never written.
 */
export const recordType = {
  /** First of each segment: format, gateway, epoch, number, and the last sequence of each partition before it. */
  header: 1,
  /** A lease that its home has not closed, with its totals; all of them stand in each segment, behind what they count. */
  lease: 2,
  /** An attempt is about to go to its provider. */
  open: 3,
  /** A running attempt holds more money: written before that is used. */
  extend: 4,
  /** What a running attempt has used so far. */
  checkpoint: 5,
  /** The attempt's event: the JSON is the line that is published, byte for byte. */
  close: 6,
  /** Nothing follows in this epoch. */
  end: 7,
} as const
export type RecordType = (typeof recordType)[keyof typeof recordType]

export const frameHeaderBytes = 8
/** No record comes near it: a longer length is damage, not a record. */
export const maxPayloadBytes = 4 * 1024 * 1024

/** A record's JSON, an object. Its pieces are written one behind the other, which costs less than to put them together. */
export interface RecordText {
  readonly type: RecordType
  /** What the object begins with, up to the members of `json`; no comma behind it. */
  readonly lead?: readonly string[] | undefined
  /** All of the object, or all that is not in the others; with a brace at each end in any case. */
  readonly json: string
  /** What the object ends with. */
  readonly tail?: RecordTail | undefined
}

/** The last members of an object, written as bytes: with a comma before them and the object's brace behind. */
export interface RecordTail {
  /** The most bytes that it takes. */
  readonly bound: number
  /** @returns where it ends */
  write: (buffer: Buffer, at: number) => number
}

/** The most bytes that {@link writeFrame} can need for this text. */
export function frameBound({ lead, json, tail }: Omit<RecordText, 'type'>): number {
  let length = json.length
  if (lead) for (const piece of lead) length += piece.length
  return frameHeaderBytes + 1 + length * 3 + (tail?.bound ?? 0)
}

const comma = 0x2c

/** Writes a frame at `at` and gives its length. The buffer has {@link frameBound} bytes of room there. */
export function writeFrame(buffer: Buffer, at: number, { type, lead, json, tail }: RecordText): number {
  const payload = at + frameHeaderBytes
  buffer[payload] = type
  let end = payload + 1
  if (lead) for (const piece of lead) end += buffer.write(piece, end, 'utf8')
  const brace = end
  end += buffer.write(json, end, 'utf8')
  if (lead) buffer[brace] = comma
  if (tail) end = tail.write(buffer, end - 1)
  const length = end - payload
  buffer.writeUInt32LE(length, at)
  buffer.writeUInt32LE(crc32(buffer.subarray(payload, payload + length)), at + 4)
  return frameHeaderBytes + length
}

/** Records as one row of frames. */
export function encodeFrames(records: readonly RecordText[]): Buffer {
  const buffer = Buffer.allocUnsafe(records.reduce((sum, record) => sum + frameBound(record), 0))
  let end = 0
  for (const record of records) end += writeFrame(buffer, end, record)
  return buffer.subarray(0, end)
}

/** A frame found in a buffer; `json` is a view into it. */
export interface Frame {
  type: number
  json: Buffer
  /** Offset just behind the frame. */
  end: number
}

/** Why no frame begins at an offset: nothing follows, the buffer ends inside the frame, or the bytes are no frame. */
export type NoFrame = 'end' | 'incomplete' | 'damaged'

/** Reads the frame that begins at `at`. */
export function readFrame(buffer: Buffer, at: number): Frame | NoFrame {
  const end = findFrameEnd(buffer, at)
  return typeof end === 'number' ? frameOf(buffer, at, end) : end
}

/** The frame that begins at `at` and ends at `end`. */
export function frameOf(buffer: Buffer, at: number, end: number): Frame {
  return { type: typeOfFrame(buffer, at), json: buffer.subarray(at + frameHeaderBytes + 1, end), end }
}

/** The type of the frame that begins at `at`. */
export function typeOfFrame(buffer: Buffer, at: number): number {
  return buffer[at + frameHeaderBytes] ?? 0
}

/**
 * Where the frame that begins at `at` ends.
 * @param isSound the bytes have not left this process since they were written: no checksum is made
 */
export function findFrameEnd(buffer: Buffer, at: number, isSound = false): number | NoFrame {
  if (at === buffer.length) return 'end'
  if (at + frameHeaderBytes > buffer.length) return 'incomplete'
  const length = buffer.readUInt32LE(at)
  if (length === 0) return 'end'
  if (length > maxPayloadBytes) return 'damaged'
  const payload = at + frameHeaderBytes
  const end = payload + length
  if (end > buffer.length) return 'incomplete'
  if (!isSound && crc32(buffer.subarray(payload, end)) !== buffer.readUInt32LE(at + 4)) return 'damaged'
  return end
}

/** The offset of the next whole frame at or behind `at`, where bytes in between are damaged. */
export function findFrame(buffer: Buffer, at: number): number | undefined {
  for (let offset = at; offset + frameHeaderBytes < buffer.length; offset++) {
    if (typeof readFrame(buffer, offset) === 'object') return offset
  }
  return undefined
}
