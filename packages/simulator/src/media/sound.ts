const SAMPLES_PER_SECOND = 24_000
const BYTES_PER_SAMPLE = 2

/** Formats that the simulator speaks in, with their content types. */
export const SOUND_TYPES: { readonly [format: string]: string } = {
  mp3: 'audio/mpeg',
  wav: 'audio/wav',
  pcm: 'audio/pcm',
}

/** Sound of a length: a wave that swings (WAV, PCM) or silent frames (MP3). */
export function makeSound(format: string, milliseconds: number): Buffer {
  if (format === 'mp3') return makeMp3(milliseconds)
  const samples = makeSamples(milliseconds)
  return format === 'pcm' ? samples : Buffer.concat([wavHeader(samples.length), samples])
}

function makeSamples(milliseconds: number): Buffer {
  const samples = Buffer.alloc(Math.round((milliseconds * SAMPLES_PER_SECOND) / 1_000) * BYTES_PER_SAMPLE)
  for (let at = 0; at < samples.length; at += BYTES_PER_SAMPLE)
    samples.writeInt16LE((((at / BYTES_PER_SAMPLE) % 109) - 54) * 200, at)
  return samples
}

function wavHeader(dataBytes: number): Buffer {
  const header = Buffer.alloc(44)
  header.write('RIFF', 0)
  header.writeUInt32LE(36 + dataBytes, 4)
  header.write('WAVEfmt ', 8)
  header.writeUInt32LE(16, 16)
  header.writeUInt16LE(1, 20)
  header.writeUInt16LE(1, 22)
  header.writeUInt32LE(SAMPLES_PER_SECOND, 24)
  header.writeUInt32LE(SAMPLES_PER_SECOND * BYTES_PER_SAMPLE, 28)
  header.writeUInt16LE(BYTES_PER_SAMPLE, 32)
  header.writeUInt16LE(8 * BYTES_PER_SAMPLE, 34)
  header.write('data', 36)
  header.writeUInt32LE(dataBytes, 40)
  return header
}

// MPEG-2 layer III, 64 kbit/s, 24 kHz, one channel: 576 samples (24 ms) in 192 bytes, all zero behind the header.
const MP3_HEADER = Buffer.from([0xff, 0xf3, 0x84, 0xc4])
const MP3_FRAME_BYTES = 192
const MP3_FRAME_MS = 24

function makeMp3(milliseconds: number): Buffer {
  const frames = Math.max(1, Math.round(milliseconds / MP3_FRAME_MS))
  const sound = Buffer.alloc(frames * MP3_FRAME_BYTES)
  for (let frame = 0; frame < frames; frame += 1) MP3_HEADER.copy(sound, frame * MP3_FRAME_BYTES)
  return sound
}

/** Length of a WAV or MP3 file in milliseconds, by its own headers; undefined where it is neither. */
export function measureSound(file: Buffer): number | undefined {
  return measureWav(file) ?? measureMp3(file)
}

function measureWav(file: Buffer): number | undefined {
  if (file.toString('latin1', 0, 4) !== 'RIFF' || file.toString('latin1', 8, 12) !== 'WAVE') return undefined
  let bytesPerSecond = 0
  for (let at = 12; at + 8 <= file.length; ) {
    const id = file.toString('latin1', at, at + 4)
    const size = file.readUInt32LE(at + 4)
    if (id === 'fmt ' && at + 24 <= file.length) bytesPerSecond = file.readUInt32LE(at + 16)
    if (id === 'data' && bytesPerSecond > 0)
      return Math.round((Math.min(size, file.length - at - 8) * 1_000) / bytesPerSecond)
    at += 8 + size + (size % 2)
  }
  return undefined
}

const MP3_KBITS_1 = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]
const MP3_KBITS_2 = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160]
const MP3_HERTZ_1 = [44_100, 48_000, 32_000]

/** Walks the frames of layer III, behind an ID3 tag if there is one. */
function measureMp3(file: Buffer): number | undefined {
  let at = 0
  if (file.toString('latin1', 0, 3) === 'ID3' && file.length > 10)
    at = 10 + (((file[6] ?? 0) << 21) | ((file[7] ?? 0) << 14) | ((file[8] ?? 0) << 7) | (file[9] ?? 0))
  let seconds = 0
  let frames = 0
  while (at + 4 <= file.length) {
    const second = file[at + 1] ?? 0
    const third = file[at + 2] ?? 0
    const version = (second >> 3) & 3
    if (file[at] !== 0xff || (second & 0xe0) !== 0xe0 || version === 1 || ((second >> 1) & 3) !== 1) break
    const kilobits = (version === 3 ? MP3_KBITS_1 : MP3_KBITS_2)[third >> 4] ?? 0
    const hertz = (MP3_HERTZ_1[(third >> 2) & 3] ?? 0) / (version === 3 ? 1 : version === 2 ? 2 : 4)
    if (kilobits === 0 || hertz === 0) break
    const samples = version === 3 ? 1_152 : 576
    at += Math.floor((samples * kilobits * 125) / hertz) + ((third >> 1) & 1)
    seconds += samples / hertz
    frames += 1
  }
  return frames === 0 ? undefined : Math.round(seconds * 1_000)
}
