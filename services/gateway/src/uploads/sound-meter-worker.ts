import { createReadStream } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import { Dicer } from '@fastify/busboy'
import { type IAudioMetadata, parseBuffer } from 'music-metadata'
import { readParameters } from './form-frame.ts'

/** A form on disk whose part `file` is sound. */
export interface SoundJob {
  path: string
  boundary: string
  /** Of the part. */
  sizeBytes: number
}

/** Undefined where it cannot be told. */
export type SoundAnswer =
  | {
      ms: number
      /** What a millisecond takes where nothing is left out of the sound; undefined: it is compressed. */
      mostBytesPerMs: number | undefined
    }
  | undefined

/** Two channels of 48 kHz, each sample of 16 bits: of what claims more than that, no more is believed. */
const mostRawBytesPerMs = 192

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
  if (duration === undefined || duration < 0 || duration >= 1e7) return undefined
  return { ms: Math.round(duration * 1000), mostBytesPerMs: rawBytesPerMs(format) }
}

function rawBytesPerMs(format: IAudioMetadata['format']): number | undefined {
  const { container, lossless, sampleRate = 0, numberOfChannels = 1, bitsPerSample = 0 } = format
  const bytesPerMs = (sampleRate * numberOfChannels * bitsPerSample) / 8_000
  const isRaw = (lossless === true || container === 'WAVE') && bytesPerMs > 0
  return isRaw ? Math.min(mostRawBytesPerMs, bytesPerMs) : undefined
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
      if (readParameters(disposition, 'form-data')?.get('name') !== 'file') return
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
