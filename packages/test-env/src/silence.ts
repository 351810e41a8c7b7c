/** Silence as a WAV: one channel of 16 bits, 8,000 samples a second. */
export function silence(milliseconds: number): Uint8Array<ArrayBuffer> {
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
  return new Uint8Array(Buffer.concat([header, Buffer.alloc(bytes)]))
}
