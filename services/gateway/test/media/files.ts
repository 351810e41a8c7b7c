import { deflateSync } from 'node:zlib'
import { silence } from '@sluice/test-env'

/** Sound of a length, made here and by nobody's library: WAV of 16,000 bytes a second, or MP3 frames of 24 ms. */
export function soundOf(format: 'wav' | 'mp3', milliseconds: number): Buffer {
  if (format === 'mp3') {
    const frame = Buffer.alloc(192)
    Buffer.from([0xff, 0xf3, 0x84, 0xc4]).copy(frame)
    return Buffer.concat(Array.from({ length: Math.round(milliseconds / 24) }, () => frame))
  }
  return Buffer.from(silence(milliseconds))
}

/** Bytes that pass for a picture. */
export function pictureOf(): Buffer {
  return Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), deflateSync(Buffer.alloc(5_000, 3))])
}

/** A form as `curl` writes it. */
export function formOf(
  parts: readonly { name: string; value: string | Buffer; file?: string }[],
  boundary = '----------------b0undary',
): { type: string; body: Buffer } {
  const pieces = parts.flatMap(({ name, value, file }) => [
    Buffer.from(
      `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${file ? `; filename="${file}"` : ''}\r\n\r\n`,
    ),
    typeof value === 'string' ? Buffer.from(value) : value,
    Buffer.from('\r\n'),
  ])
  return {
    type: `multipart/form-data; boundary=${boundary}`,
    body: Buffer.concat([...pieces, Buffer.from(`--${boundary}--\r\n`)]),
  }
}
