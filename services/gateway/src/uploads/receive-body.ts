import type { IncomingMessage } from 'node:http'
import { Refusal } from '../refusal.ts'
import type { Spool, SpooledFile } from './spool.ts'

/** Sees each piece of a body before it is written, and says at the end what it has read. */
export interface BodyReader<Read> {
  write: (chunk: Buffer) => void | Promise<void>
  finish: () => Read | Promise<Read>
}

/** A body that has arrived: its bytes on disk, and what they say. */
export interface ReceivedBody<Read> {
  file: SpooledFile
  read: Read
}

/**
 * Writes the body of a request into a file as it came, and reads it on the way. Bytes are taken from the client no faster
 * than the disk has them. The caller discards the file.
 * @throws Refusal 400 where it ends early, 413 above the limit, 503 without room, and what the reader throws; the file is gone then
 */
export async function receiveIntoFile<Read>(
  spool: Spool,
  request: IncomingMessage,
  maxBytes: number,
  reader: BodyReader<Read>,
): Promise<ReceivedBody<Read>> {
  const tooLarge = (): Refusal =>
    new Refusal('body_too_large', `The request body is larger than ${maxBytes} bytes, the limit of this path.`)
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) {
    request.resume()
    throw tooLarge()
  }
  const file = await spool.create()
  try {
    // The connection stays: the answer goes out on it.
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      if (file.size + chunk.length > maxBytes) throw tooLarge()
      await reader.write(chunk)
      await file.write(chunk)
    }
    const read = await reader.finish()
    await file.finish()
    return { file, read }
  } catch (error) {
    file.discard()
    // Nobody reads the rest; the answer closes the connection.
    request.resume()
    if (error instanceof Refusal) throw error
    throw new Refusal('invalid_request', 'The request ended before its body was complete.', { cause: error })
  }
}
