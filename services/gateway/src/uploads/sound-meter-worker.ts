import { createReadStream } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import { Dicer } from '@fastify/busboy'
import { parseBuffer } from 'music-metadata'

/** A form on disk whose part `file` is sound. */
export interface SoundJob {
  path: string
  boundary: string
  /** Of the part. */
  sizeBytes: number
}

/** Length in milliseconds; undefined where it cannot be told. */
export type SoundAnswer = number | undefined

parentPort?.on('message', async (job: SoundJob) => {
  const answer: SoundAnswer = await measure(job).catch(() => undefined)
  parentPort?.postMessage(answer)
})

// The thread has what it needs.
parentPort?.postMessage('ready')

async function measure(job: SoundJob): Promise<SoundAnswer> {
  const { format } = await parseBuffer(
    await readSound(job),
    { size: job.sizeBytes },
    { duration: true, skipCovers: true },
  )
  const { duration } = format
  return duration !== undefined && duration >= 0 && duration < 1e7 ? Math.round(duration * 1000) : undefined
}

/** The part, whole: some containers have their header at their end. */
async function readSound({ path, boundary, sizeBytes }: SoundJob): Promise<Buffer> {
  const sound = Buffer.allocUnsafe(sizeBytes)
  let length = 0
  const dicer = new Dicer({ boundary })
  dicer.on('part', part => {
    part.on('error', () => undefined)
    part.on('header', header => {
      const [disposition = ''] = (header as Record<string, string[]>)['content-disposition'] ?? []
      if (!/;\s*name="?file"?\s*(;|$)/i.test(disposition)) return
      part.on('data', (chunk: Buffer) => {
        length += chunk.copy(sound, length)
      })
    })
    part.resume()
  })
  const form = createReadStream(path)
  await new Promise<void>((resolve, reject) => {
    // It says when it has read the last part; a pipeline would wait for more.
    dicer.on('finish', () => resolve())
    dicer.on('error', reject)
    form.on('error', reject)
    form.pipe(dicer)
  }).finally(() => form.destroy())
  return sound.subarray(0, length)
}
