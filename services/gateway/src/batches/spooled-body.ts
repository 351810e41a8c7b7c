import { randomUUID } from 'node:crypto'
import { type FileHandle, open, unlink } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { BodyMemory } from '../read-request.ts'
import { Refusal } from '../refusal.ts'

/** A request body on disk. Its file has no name any more: it goes with its last handle, whatever happens to us. */
export interface SpooledBody {
  size: number
  /** From the first byte. */
  read: () => Readable
  dispose: () => Promise<void>
}

export interface SpoolOptions {
  directory: string
  maxBytes: number
  /** Bytes on disk, over all calls. */
  space: BodyMemory
  /** Looks at each piece before it is kept. What it throws ends the reading. */
  look: (chunk: Buffer) => void
}

/**
 * Writes a request body to a temporary file, piece by piece: a client is read as fast as the disk takes it.
 * @throws Refusal 413 above the limit, 503 above the space, 400 where it ends early; what `look` throws
 */
export async function spoolBody(request: IncomingMessage, options: SpoolOptions): Promise<SpooledBody> {
  const { directory, maxBytes, space, look } = options
  const path = join(directory, `sluice-body-${randomUUID()}`)
  let file: FileHandle | undefined
  let size = 0
  const dispose = async (): Promise<void> => {
    const taken = size
    size = 0
    space.release(taken)
    const handle = file
    file = undefined
    await handle?.close()
  }
  try {
    file = await open(path, 'wx+', 0o600)
    await unlink(path)
    for await (const chunk of readingOf(request)) {
      if (size + chunk.length > maxBytes)
        throw new Refusal(
          'body_too_large',
          `The request body is larger than ${maxBytes} bytes, the limit of this path.`,
        )
      space.take(chunk.length)
      size += chunk.length
      look(chunk)
      await file.write(chunk)
    }
    const handle = file
    return { size, read: () => handle.createReadStream({ start: 0, autoClose: false }), dispose }
  } catch (error) {
    await dispose()
    // Nobody reads the rest; the answer closes the connection.
    request.resume()
    throw error
  }
}

async function* readingOf(request: IncomingMessage): AsyncIterable<Buffer> {
  try {
    // The connection stays: the answer goes out on it.
    for await (const chunk of request.iterator({ destroyOnReturn: false })) yield chunk as Buffer
  } catch (cause) {
    throw new Refusal('invalid_request', 'The request ended before its body was complete.', { cause })
  }
}
