import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { sized } from '@sluice/test-env/test-size'
import getPort from 'get-port'
import { identifyProcess, parseIdentity } from '../src/process-identity.ts'
import {
  assertNothingLeft,
  assertRefused,
  call,
  descendants,
  makeHome,
  post,
  start,
  until,
  untilReady,
} from './run-start.ts'

test('a busy port is named, with how to choose another one', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  await assertRefused(
    start(t, { SLUICE_HOME: makeHome(t), SLUICE_PORT: String(port) }),
    new RegExp(`Port ${port} is in use by another program.*SLUICE_PORT=`),
  )
})

// Small: of the functions that the start calls, in `home.test.ts`.
for (const [name, file, content, refused] of sized<[name: string, file: string, content: string, refused: RegExp][]>({
  small: [],
  full: [
    [
      'a running start holds',
      'lock',
      JSON.stringify({ ...identifyProcess(process.pid), url: 'http://127.0.0.1:1' }),
      new RegExp(`already runs from .*: process ${process.pid}, .*http://127.0.0.1:1`),
    ],
    ['holds other files', 'thesis.txt', 'keep me', /holds files that are not Sluice's/],
    ['another version has written', 'sluice.json', '{"layout":99}', /layout 99, this one reads 1/],
  ],
}))
  test(`a home that ${name} is left alone`, async t => {
    const home = makeHome(t)
    writeFileSync(join(home, file), content)
    await assertRefused(start(t, { SLUICE_HOME: home }), refused)
    assert.equal(readFileSync(join(home, file), 'utf8'), content)
  })

test('a missing NATS server is one sentence, and nothing is left running', async t => {
  const home = makeHome(t)
  const port = String(await getPort({ host: '127.0.0.1' }))
  await assertRefused(
    start(t, { SLUICE_HOME: home, SLUICE_PORT: port, NATS_SERVER_BIN: join(home, 'none') }),
    /NATS_SERVER_BIN is .*none, which does not exist/,
  )
  assertNothingLeft(home)
})

test('after a kill -9 of everything the next start has all that was there, a store that ends is brought back, and an interrupt lets a running stream end whole and leaves nothing running', async t => {
  const home = makeHome(t)
  mkdirSync(home, { recursive: true })
  const port = String(await getPort({ host: '127.0.0.1' }))
  const env = { SLUICE_HOME: home, SLUICE_PORT: port, OPENAI_API_KEY: '', ANTHROPIC_API_KEY: '' }
  const first = start(t, env)
  await untilReady(first)
  assert.match(first.output(), /SIMULATOR/)
  const lines = readFileSync(join(home, 'env'), 'utf8')
  assert.equal(statSync(join(home, 'env')).mode & 0o777, 0o600)
  assert.equal(await call(home), 200)
  const receipt =
    / {2}gpt-5\.4\S* \[simulator\] {2}\d+ in, \d+ out {2}\$0\.\d+ {2}\+\d+\.\d ms {2}(?:no budget|\$[\d.]+ left of .+)\n/
  await until(() => receipt.test(first.output()), first.output)

  const pids = [first.child.pid ?? 0, ...descendants(first.child.pid ?? 0)]
  assert.ok(pids.length > 10, 'every part is a process of ours')
  first.child.kill('SIGSTOP')
  for (const pid of pids.reverse()) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It ended with one before it.
    }
  }
  await first.ended

  const since = performance.now()
  const second = start(t, env)
  await untilReady(second)
  assert.equal(readFileSync(join(home, 'env'), 'utf8'), lines, 'key, project and password are the same')
  assert.equal(await call(home), 200)
  const seconds = ((performance.now() - since) / 1000).toFixed(1)
  t.diagnostic(`second start to first answered call: ${seconds} s (promise: 10)`)

  const natsPid = () => parseIdentity(readFileSync(join(home, 'nats', 'nats.pid.json'), 'utf8'))?.pid
  const killed = natsPid()
  assert.ok(killed)
  process.kill(killed, 'SIGKILL')
  await until(() => existsSync(join(home, 'nats', 'nats.pid.json')) && natsPid() !== killed, second.output)
  assert.match(second.output(), /NATS ended by itself \(SIGKILL\); starting it again/)

  const secondPids = descendants(second.child.pid ?? 0)
  const words = 40
  const response = await post(home, {
    stream: true,
    messages: [{ role: 'user', content: `Hello [[sim output_tokens=${words} tokens_per_chunk=1 delay_ms=40]]` }],
  })
  assert.ok(response.body)
  let text = ''
  let readBefore = 0
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk
    if (readBefore > 0 || !text.includes('"content":"Sim')) continue
    readBefore = text.length
    second.child.kill('SIGINT')
  }
  assert.ok(readBefore > 0 && !text.slice(0, readBefore).includes('[DONE]'), 'interrupted while it ran')
  assert.match(text, /data: \[DONE\]\s*$/)
  // A generated word is four bytes.
  assert.equal(streamedText(text).length, 4 * words)
  assert.equal(await second.ended, 0, second.output())
  assert.match(second.output(), /nothing is left running/)
  assert.deepEqual(
    secondPids.filter(pid => identifyProcess(pid)),
    [],
  )
  assertNothingLeft(home)
})

function streamedText(stream: string): string {
  const lines = stream.split('\n').filter(line => line.startsWith('data: {'))
  const chunks = lines.map(
    line => JSON.parse(line.slice('data: '.length)) as { choices: { delta?: { content?: string } }[] },
  )
  return chunks.map(chunk => chunk.choices[0]?.delta?.content ?? '').join('')
}
