import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import { writeTogether } from './write-together.ts'

/** The two ends of a connection. */
async function pair(t: TestContext): Promise<{ near: Socket; far: Socket }> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const near = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [[far]] = (await Promise.all([once(server, 'connection'), once(near, 'connect')])) as [[Socket], unknown]
  t.after(() => {
    near.destroy()
    far.destroy()
    server.close()
  })
  return { near, far }
}

test('what a slow reader has not taken stays as it was written, whatever is written to others meanwhile', async t => {
  const slow = await pair(t)
  const other = await pair(t)
  other.far.resume()
  const expected: Buffer[] = []
  let waiting = 0
  for (let i = 0; waiting < 20; i++) {
    const letter = String.fromCharCode(97 + (i % 26))
    const bytes = Buffer.alloc(15_000, letter)
    writeTogether(slow.near, ['<', `${i}>`], bytes, '</>')
    expected.push(Buffer.from(`<${i}>${bytes}</>`))
    if (slow.near.writableLength === 0) continue
    waiting++
    writeTogether(other.near, ['other'], Buffer.alloc(20_000, '-'))
  }
  slow.near.end()
  assert.ok(Buffer.concat(expected).equals(await buffer(slow.far)))
})

for (const bytes of [0, 1, 1_000, 24 * 1024, 100_000])
  test(`head, ${bytes} bytes and tail come in their order, byte for byte`, async t => {
    const { near, far } = await pair(t)
    const body = Buffer.from(Array.from({ length: bytes }, (_, i) => i % 256))
    writeTogether(near, ['head', ' \xe9'], body, '\xff tail')
    writeTogether(near, ['second'], body)
    near.end()
    const expected = [
      Buffer.from('head \xe9', 'latin1'),
      body,
      Buffer.from('\xff tail', 'latin1'),
      Buffer.from('second'),
      body,
    ]
    assert.ok(Buffer.concat(expected).equals(await buffer(far)))
  })
