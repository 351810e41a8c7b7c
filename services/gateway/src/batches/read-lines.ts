import type { Readable } from 'node:stream'

/** A line without its end; `undefined`: it was longer than can be kept. */
export type Line = Buffer | undefined

/** Cuts a stream into lines, in memory for one line. Empty lines are left out. */
export async function* readLines(stream: Readable, maxLineBytes: number): AsyncGenerator<Line> {
  let parts: Buffer[] = []
  let size = 0
  const take = (): Line | 'empty' => {
    const line = size > maxLineBytes ? undefined : Buffer.concat(parts)
    parts = []
    size = 0
    if (line === undefined) return undefined
    const end = line.at(-1) === 0x0d ? line.length - 1 : line.length
    return end === 0 ? 'empty' : line.subarray(0, end)
  }
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    let at = 0
    for (let feed = chunk.indexOf(0x0a); feed >= 0; feed = chunk.indexOf(0x0a, at)) {
      size += feed - at
      if (size <= maxLineBytes) parts.push(chunk.subarray(at, feed))
      at = feed + 1
      const line = take()
      if (line !== 'empty') yield line
    }
    size += chunk.length - at
    if (size <= maxLineBytes) parts.push(chunk.subarray(at))
    else parts = []
  }
  const last = take()
  if (last !== 'empty') yield last
}
