import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { SoundMeter } from './sound-meter.ts'

const folder = mkdtempSync(join(tmpdir(), 'sound-'))
// As patient as a machine that others use is slow: what a file takes is printed.
const meter = new SoundMeter({ maxJobMs: 60_000 })
after(async () => {
  await meter.close()
  rmSync(folder, { recursive: true, force: true })
})

let files = 0
/** A form on disk with the sound in the middle. */
function uploaded(sound: Buffer, boundary = 'b'): { path: string; boundary: string; sizeBytes: number } {
  const path = join(folder, `${++files}.upload`)
  const head = `--${boundary}\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n`
  writeFileSync(path, Buffer.concat([Buffer.from(head), sound, Buffer.from(`\r\n--${boundary}--\r\n`)]))
  return { path, boundary, sizeBytes: sound.length }
}

const bytesPerSecond = 16_000
function wav(seconds: number, declaredBytes = seconds * bytesPerSecond): Buffer {
  const header = Buffer.alloc(44)
  header.write('RIFF', 0)
  header.writeUInt32LE((36 + declaredBytes) % 2 ** 32, 4)
  header.write('WAVEfmt ', 8)
  header.writeUInt32LE(16, 16)
  header.writeUInt16LE(1, 20)
  header.writeUInt16LE(1, 22)
  header.writeUInt32LE(8_000, 24)
  header.writeUInt32LE(bytesPerSecond, 28)
  header.writeUInt16LE(2, 32)
  header.writeUInt16LE(16, 34)
  header.write('data', 36)
  header.writeUInt32LE(declaredBytes, 40)
  return Buffer.concat([header, Buffer.alloc(seconds * bytesPerSecond)])
}

/** MPEG-1 layer III, 128 kbit/s, 44.1 kHz: 417 bytes, 1152 samples a frame. */
function mp3(frames: number): Buffer {
  const frame = Buffer.alloc(417)
  Buffer.from([0xff, 0xfb, 0x90, 0xc4]).copy(frame)
  return Buffer.concat(Array.from({ length: frames }, () => frame))
}

test('sound is as long as the header of its container says', async () => {
  assert.equal((await meter.measure(uploaded(wav(61)))).ms, 61_000)
  const { ms } = await meter.measure(uploaded(mp3(400)))
  assert.ok(Math.abs(ms - (400 * 1_152 * 1000) / 44_100) < 60, `${ms} ms`)
  assert.equal((await meter.measure(uploaded(wav(2), '----x_y'))).ms, 2_000)
})

test('only the part called "file" is measured', async () => {
  const path = join(folder, `${++files}.upload`)
  const part = (parameters: string, sound: Buffer) =>
    Buffer.concat([
      Buffer.from(`--b\r\nContent-Disposition: form-data; ${parameters}\r\n\r\n`),
      sound,
      Buffer.from('\r\n'),
    ])
  const sound = wav(60)
  const others = ['name="FILE"; filename="a"', 'name="x"; filename="a; name=file;"'].map(name => part(name, wav(1)))
  writeFileSync(path, Buffer.concat([...others, part('name="file"; filename="a"', sound), Buffer.from('--b--\r\n')]))
  assert.equal((await meter.measure({ path, boundary: 'b', sizeBytes: sound.length })).ms, 60_000)
})

/** A header that says one second at 16 kHz, and what every decoder reads to its end. */
function flac(bytes: number): Buffer {
  const info = Buffer.alloc(34)
  info.writeUInt16BE(4_096, 0)
  info.writeUInt16BE(4_096, 2)
  info.writeBigUInt64BE((16_000n << 44n) | (15n << 36n) | 16_000n, 10)
  return Buffer.concat([Buffer.from('fLaC'), Buffer.from([0x80, 0, 0, 34]), info, Buffer.alloc(bytes, 0x55)])
}

test('money is held for what the size of a file tells where its header says less', async () => {
  const { ms, mostMs } = await meter.measure(uploaded(flac(8_000_000)))
  assert.equal(ms, 1_000)
  // Nothing left out, a second takes 32,000 bytes.
  assert.equal(mostMs, Math.ceil((8_000_000 + 42) / 32))
  const short = await meter.measure(uploaded(wav(60, bytesPerSecond)))
  assert.ok(short.mostMs >= 60_000, `${short.mostMs} ms of 60,000`)
  const compressed = await meter.measure(uploaded(mp3(400)))
  assert.equal(compressed.mostMs, Math.ceil((400 * 417) / 8))
})

test('a file of twenty-five megabytes is measured, not told by its size', async t => {
  const since = performance.now()
  // By its size it would be twice as long.
  assert.equal((await meter.measure(uploaded(wav(1_500)))).ms, 1_500_000)
  t.diagnostic(`${Math.round(performance.now() - since)} ms`)
})

test('what cannot be read is as long as speech of its size, and held for as the slowest', async () => {
  for (const bytes of [
    Buffer.from('no sound at all'),
    Buffer.alloc(0),
    Buffer.alloc(8_000, 0xff),
    wav(1).subarray(0, 20),
  ])
    assert.deepEqual(await meter.measure(uploaded(bytes)), { ms: Math.ceil(bytes.length / 8), mostMs: bytes.length })
})

/** A box of an MP4 file that says it is larger than the world. */
function box(type: string, size: number, inner: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt32BE(size, 0)
  head.write(type, 4, 'latin1')
  return Buffer.concat([head, inner])
}

test('a hostile file neither holds up the next one nor fills the memory', async t => {
  const before = process.memoryUsage().rss
  const hostile = [
    wav(1, 2 ** 32 - 1),
    Buffer.concat([
      Buffer.from('RIFF\xff\xff\xff\xffWAVE', 'latin1'),
      Buffer.from('LIST\xff\xff\xff\xff', 'latin1'),
      Buffer.alloc(900),
    ]),
    Buffer.concat([
      Buffer.from('RIFF\x00\x01\x00\x00WAVE', 'latin1'),
      Buffer.from('fmt \x00\x00\x00\x00'.repeat(50_000), 'latin1'),
    ]),
    Buffer.concat([box('ftyp', 16, Buffer.from('M4A \0\0\0\0')), box('moov', 2 ** 32 - 1, Buffer.alloc(64))]),
    Buffer.concat([
      box('ftyp', 16, Buffer.from('M4A \0\0\0\0')),
      ...Array.from({ length: 50_000 }, () => box('free', 8)),
    ]),
    Buffer.concat([
      box('ftyp', 16, Buffer.from('M4A \0\0\0\0')),
      ...Array.from({ length: 1_000 }, () => box('free', 0)),
    ]),
    Buffer.from('ID3\x04\x00\x00\x7f\x7f\x7f\x7f'.repeat(2_000), 'latin1'),
    Buffer.concat([Buffer.from('fLaC'), Buffer.from('\x00\xff\xff\xff'.repeat(5_000), 'latin1')]),
    Buffer.concat([Buffer.from('OggS\0\x02'), Buffer.alloc(40, 0xff), Buffer.alloc(100_000)]),
    Buffer.concat([Buffer.from('3026b2758e66cf11a6d900aa0062ce6c', 'hex'), Buffer.alloc(200_000)]),
    Buffer.concat([Buffer.from([0x1a, 0x45, 0xdf, 0xa3]), Buffer.alloc(100_000, 0x01)]),
  ]
  let longestMs = 0
  for (const bytes of hostile) {
    const since = performance.now()
    // The second waits for the first; after too long a wait it would be told by its size, which is twice as long.
    const [{ ms, mostMs }, next] = await Promise.all([meter.measure(uploaded(bytes)), meter.measure(uploaded(wav(3)))])
    assert.ok(Number.isSafeInteger(ms) && ms >= 0)
    assert.ok(Number.isSafeInteger(mostMs) && mostMs >= ms)
    assert.equal(next.ms, 3_000)
    longestMs = Math.max(longestMs, performance.now() - since)
  }
  t.diagnostic(`${Math.round(longestMs)} ms at most for a hostile file and the one behind it`)
  const grownMiB = (process.memoryUsage().rss - before) / 2 ** 20
  assert.ok(grownMiB < 300, `${grownMiB} MiB`)
})

test('uploads that come together are each told their own length, and too many are told by size', async () => {
  const jobs = Array.from({ length: 30 }, (_, index) => uploaded(wav(index + 1)))
  const told = await Promise.all(jobs.map(job => meter.measure(job)))
  for (const [index, { ms }] of told.slice(0, 16).entries()) assert.equal(ms, (index + 1) * 1000)
  for (const [index, length] of told.slice(16).entries()) {
    const bytes = 44 + (index + 17) * bytesPerSecond
    assert.deepEqual(length, { ms: Math.ceil(bytes / 8), mostMs: bytes })
  }
})
