import type { IncomingMessage } from 'node:http'
import { Refusal } from '../refusal.ts'
import type { Spool, SpooledFile } from './spool.ts'

/**
 * Writes the body of a request into a file as it came; `look` sees each piece before. Bytes are taken from the client no
 * faster than the disk has them. The caller discards the file.
 * @throws Refusal 400 where it ends early, 413 above the limit, 503 without room, and what `look` throws; the file is gone then
 */
export async function receiveIntoFile(
  spool: Spool,
  request: IncomingMessage,
  { maxBytes, look }: { maxBytes: number; look: (chunk: Buffer) => void },
): Promise<SpooledFile> {
  const file = await spool.create()
  try {
    // The connection stays: the answer goes out on it.
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      if (file.size + chunk.length > maxBytes)
        throw new Refusal(
          'body_too_large',
          `The request body is larger than ${maxBytes} bytes, the limit of this path.`,
        )
      look(chunk)
      await file.write(chunk)
    }
    await file.finish()
    return file
  } catch (error) {
    file.discard()
    // Nobody reads the rest; the answer closes the connection.
    request.resume()
    if (error instanceof Refusal) throw error
    throw new Refusal('invalid_request', 'The request ended before its body was complete.', { cause: error })
  }
}
