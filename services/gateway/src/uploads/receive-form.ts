import type { IncomingMessage } from 'node:http'
import { Refusal } from '../refusal.ts'
import { FormReader, type ReadForm } from './form-reader.ts'
import type { Spool, SpooledFile } from './spool.ts'

/** A form that has arrived: its bytes on disk, and what they say. */
export interface ReceivedForm extends ReadForm {
  file: SpooledFile
  boundary: string
}

/**
 * Writes the body of a request into a file as it came, and reads it on the way. Bytes are taken from the client no faster than
 * the disk has them. The caller discards the file.
 * @throws Refusal 400 for what is no form or ends early, 413 above the limit, 503 without room; the file is gone then
 */
export async function receiveForm(
  spool: Spool,
  request: IncomingMessage,
  form: { boundary: string; wanted: ReadonlySet<string>; maxBytes: number },
): Promise<ReceivedForm> {
  const tooLarge = (): Refusal =>
    new Refusal('body_too_large', `The request body is larger than ${form.maxBytes} bytes, the limit of this path.`)
  if (Number(request.headers['content-length'] ?? 0) > form.maxBytes) {
    request.resume()
    throw tooLarge()
  }
  const file = await spool.create()
  try {
    const reader = new FormReader(form.boundary, form.wanted)
    // The connection stays: the answer goes out on it.
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      if (file.size + chunk.length > form.maxBytes) throw tooLarge()
      await reader.write(chunk)
      await file.write(chunk)
    }
    const read = await reader.finish()
    await file.finish()
    return { ...read, file, boundary: form.boundary }
  } catch (error) {
    file.discard()
    request.resume()
    if (error instanceof Refusal) throw error
    throw new Refusal('invalid_request', 'The request ended before its body was complete.', { cause: error })
  }
}
