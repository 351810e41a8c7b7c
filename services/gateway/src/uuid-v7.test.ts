import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newUuidV7 } from './uuid-v7.ts'

test('an id holds its time, its version and its variant, and each of its random bits is now this and now that', () => {
  const times = [0, 1, 0xffff, 0x1_0000, 0xffff_ffff, 1_790_000_000_123, 2 ** 48 - 1]
  const ids = new Set<string>()
  let everSet = 0n
  let everClear = 0n
  for (let i = 0; i < 7_000; i++) {
    const nowMs = times[i % times.length] ?? 0
    const id = newUuidV7(nowMs)
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    const bits = BigInt(`0x${id.replaceAll('-', '')}`)
    assert.equal(Number(bits >> 80n), nowMs)
    everSet |= bits
    everClear |= ~bits
    ids.add(id)
  }
  assert.equal(ids.size, 7_000)
  const randomBits = (((1n << 12n) - 1n) << 64n) | ((1n << 62n) - 1n)
  assert.equal(everSet & randomBits, randomBits)
  assert.equal(everClear & randomBits, randomBits)
})
