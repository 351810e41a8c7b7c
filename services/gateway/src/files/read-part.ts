import { Dicer } from '@fastify/busboy'
import { readParameters } from '../uploads/form-frame.ts'
import type { ReceivedForm } from '../uploads/receive-form.ts'

/**
 * Reads one part of a form that has been received and checked, from its file, piece by piece.
 * @throws what `onBytes` throws
 */
export async function readPart(form: ReceivedForm, name: string, onBytes: (chunk: Buffer) => void): Promise<void> {
  const dicer = new Dicer({ boundary: form.boundary })
  const { promise: finished, resolve } = Promise.withResolvers<void>()
  let problem: unknown
  dicer.on('finish', resolve)
  dicer.on('error', (error: Error) => {
    problem ??= error
    resolve()
  })
  dicer.on('part', part => {
    let isWanted = false
    part.on('header', header => {
      const [disposition = ''] = (header as Record<string, string[]>)['content-disposition'] ?? []
      isWanted = readParameters(disposition, 'form-data')?.get('name') === name
    })
    part.on('data', chunk => {
      if (!isWanted || problem !== undefined) return
      try {
        onBytes(chunk as Buffer)
      } catch (error) {
        problem = error
      }
    })
    part.on('error', () => undefined)
  })
  for await (const chunk of form.file.open() as AsyncIterable<Buffer>) {
    if (problem !== undefined) break
    await Promise.race([new Promise<void>(written => dicer.write(chunk, () => written())), finished])
  }
  dicer.end()
  await finished
  if (problem !== undefined) throw problem
}
