import { deflateSync } from 'node:zlib'

/** Sound of a length, made here and by nobody's library: WAV of 16,000 bytes a second, or MP3 frames of 24 ms. */
export function soundOf(format: 'wav' | 'mp3', milliseconds: number): Buffer {
  if (format === 'mp3') {
    const frame = Buffer.alloc(192)
    Buffer.from([0xff, 0xf3, 0x84, 0xc4]).copy(frame)
    return Buffer.concat(Array.from({ length: Math.round(milliseconds / 24) }, () => frame))
  }
  const bytes = milliseconds * 16
  const header = Buffer.from('RIFF....WAVEfmt ....................data....', 'latin1')
  header.writeUInt32LE(36 + bytes, 4)
  header.writeUInt32LE(16, 16)
  header.writeUInt16LE(1, 20)
  header.writeUInt16LE(1, 22)
  header.writeUInt32LE(8_000, 24)
  header.writeUInt32LE(16_000, 28)
  header.writeUInt16LE(2, 32)
  header.writeUInt16LE(16, 34)
  header.writeUInt32LE(bytes, 40)
  return Buffer.concat([header, Buffer.alloc(bytes)])
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
    Buffer.from(value),
    Buffer.from('\r\n'),
  ])
  return {
    type: `multipart/form-data; boundary=${boundary}`,
    body: Buffer.concat([...pieces, Buffer.from(`--${boundary}--\r\n`)]),
  }
}
