import type { Readable } from 'node:stream'

/** Reads a line as it comes. */
export interface LineReader {
  write: (bytes: Buffer) => void
}

/** Lines up to `maxBytes` are kept; a longer one is given to a reader of its own, from its first byte on. */
export interface LineBounds<Long extends LineReader> {
  maxBytes: number
  openLong: () => Long
}

/** Cuts a stream into lines without their ends, in memory for one short line. Empty lines are left out. */
export async function* readLines<Long extends LineReader>(
  stream: Readable,
  { maxBytes, openLong }: LineBounds<Long>,
): AsyncGenerator<Buffer | Long> {
  let parts: Buffer[] = []
  let size = 0
  let long: Long | undefined
  const add = (bytes: Buffer): void => {
    size += bytes.length
    if (long) {
      long.write(bytes)
      return
    }
    parts.push(bytes)
    if (size <= maxBytes) return
    long = openLong()
    for (const part of parts) long.write(part)
    parts = []
  }
  const take = (): Buffer | Long | undefined => {
    const line = long ?? Buffer.concat(parts)
    parts = []
    size = 0
    long = undefined
    if (!Buffer.isBuffer(line)) return line
    const end = line.at(-1) === 0x0d ? line.length - 1 : line.length
    return end === 0 ? undefined : line.subarray(0, end)
  }
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    let at = 0
    for (let feed = chunk.indexOf(0x0a); feed >= 0; feed = chunk.indexOf(0x0a, at)) {
      add(chunk.subarray(at, feed))
      at = feed + 1
      const line = take()
      if (line) yield line
    }
    add(chunk.subarray(at))
  }
  const last = take()
  if (last) yield last
}
