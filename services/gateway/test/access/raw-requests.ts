import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { GatewayStack, TestProject } from '../gateway-stack.ts'

/** Requests that two readers could read in two ways: refused, and never seen by the provider. */
export function requestsAreUnambiguous(gateway: GatewayStack, project: TestProject): void {
  const body = '{"model":"gpt-5.4-mini","messages":[{"role":"user","content":"x"}]}'
  const { host } = new URL(gateway.url)
  const head = (lines: string[], target = '/v1/chat/completions', version = 'HTTP/1.1') => [
    `POST ${target} ${version}`,
    ...lines,
    `Authorization: Bearer ${project.apiKey}`,
    'Content-Type: application/json',
  ]
  const request = (lines: string[], sent = body, target?: string, version?: string) =>
    `${head(lines, target, version).join('\r\n')}\r\n\r\n${sent}`
  const at = `Host: ${host}`
  const length = `Content-Length: ${body.length}`
  const chunks = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
  const chunked = 'Transfer-Encoding: chunked'

  const forms: [string, string][] = [
    ['length and chunks', request([at, length, chunked], chunks)],
    ['chunks and length', request([at, chunked, length], chunks)],
    ['length 0 and chunks', request([at, 'Content-Length: 0', chunked], chunks)],
    ['two lengths', request([at, length, 'Content-Length: 5'])],
    ['two lengths in one', request([at, `Content-Length: ${body.length}, 5`])],
    ['a length with a sign', request([at, `Content-Length: +${body.length}`])],
    ['a negative length', request([at, 'Content-Length: -1'])],
    ['a length in hexadecimal', request([at, 'Content-Length: 0x10'])],
    ['a length with a space inside', request([at, 'Content-Length: 1 0'])],
    ['an empty length', request([at, 'Content-Length: '])],
    ['an encoding nobody knows', request([at, 'Transfer-Encoding: xchunked'], chunks)],
    ['chunks, then the identity', request([at, 'Transfer-Encoding: chunked, identity'], chunks)],
    ['two encodings', request([at, chunked, 'Transfer-Encoding: identity'], chunks)],
    ['chunks behind a control character', request([at, 'Transfer-Encoding: \x0bchunked'], chunks)],
    ['a space before the colon', request([at, 'Transfer-Encoding : chunked'], chunks)],
    ['a folded header', request([at, 'X-A: b\r\n folded', length])],
    ['a first header that is folded', request([' X-A: b', at, length])],
    ['lines that end in LF', request([at, length]).replaceAll('\r\n', '\n')],
    ['a lone CR', request([at, 'X-A: b\rX-B: c', length])],
    ['a zero byte', request([at, 'X-A: b\0c', length])],
    ['a header without a colon', request([at, 'X-A', length])],
    ['a header without a name', request([at, ': x', length])],
    ['a name with a space', request([at, 'X A: b', length])],
    ['a chunk larger than all numbers', request([at, chunked], `fffffffffffffffff\r\n${body}\r\n0\r\n\r\n`)],
    ['a chunk with a sign', request([at, chunked], `+${chunks}`)],
    ['a chunk in no number', request([at, chunked], `xyz\r\n${body}\r\n0\r\n\r\n`)],
    ['a chunk without its end', request([at, chunked], chunks.replace('}\r\n', '}XX'))],
    ['chunks under HTTP/1.0', request([at, chunked], chunks, undefined, 'HTTP/1.0')],
    ['two hosts', request([at, 'Host: example.test', length])],
    ['the same host twice', request([at, at, length])],
    ['no host', request([length])],
    ['two credentials', request([at, 'Authorization: Bearer ma-other', length])],
    ['two x-api-key', request([at, 'x-api-key: a', 'x-api-key: b', length])],
    ['an absolute target', request([at, length], body, `http://${host}/v1/chat/completions`)],
    ['an absolute target elsewhere', request([at, length], body, 'http://example.test/v1/chat/completions')],
    ['a target without a slash', request([at, length], body, 'v1/chat/completions')],
    ['a target with a space', request([at, length], body, '/v1/chat/completions x')],
    ['a target of two slashes', request([at, length], body, '//example.test/v1/chat/completions')],
    ['a target with dots', request([at, length], body, '/v1/x/../chat/completions')],
    ['a target with encoded dots', request([at, length], body, '/openai/%2e%2e/v1/chat/completions')],
    ['a target with a backslash', request([at, length], body, '/v1\\chat\\completions')],
    ['HTTP/0.9', request([at, length], body, undefined, 'HTTP/0.9')],
    ['HTTP/2.0 without its preface', request([at, length], body, undefined, 'HTTP/2.0')],
    ['HTTP/9.9', request([at, length], body, undefined, 'HTTP/9.9')],
    ['a method in small letters', request([at, length]).replace('POST', 'post')],
    ['a tunnel', request([at, length], body, 'example.test:443').replace('POST', 'CONNECT')],
    ['a head beyond all bounds', request([at, `X-A: ${'a'.repeat(70_000)}`, length])],
  ]

  suite('ambiguous requests', () => {
    test('the request they are all made from is served', async () => {
      assert.match(await gateway.raw(request([at, length, 'Connection: close'])), /^HTTP\/1\.1 200 /)
      assert.match(await gateway.raw(request([at, chunked, 'Connection: close'], chunks)), /^HTTP\/1\.1 200 /)
    })
    test('every form is refused before it reaches the provider, and nothing behind it is read as a request', async t => {
      const before = (await gateway.billsOf(project)).length
      assert.ok(forms.length >= 40)
      t.diagnostic(`${forms.length} forms`)
      const smuggled = `GET /v1/models HTTP/1.1\r\nHost: ${host}\r\nX-Api-Key: ${project.apiKey}\r\nX-Smuggled: 1\r\n\r\n`
      const passed: string[] = []
      for (let from = 0; from < forms.length; from += 8) {
        await Promise.all(
          forms.slice(from, from + 8).map(async ([name, bytes]) => {
            const alone = await gateway.raw(bytes, 150)
            if (!/^(HTTP\/1\.1 (400|404|413|431|501|505) |$)/.test(alone)) passed.push(`${name}: ${alone.slice(0, 80)}`)
            // Framing that is refused ends the connection: what follows is nobody's request.
            const framing = /length|chunk|encoding|colon|folded|CR|LF|zero byte/.test(name)
            if (framing && (await gateway.raw(bytes + smuggled, 150)).includes('HTTP/1.1 200'))
              passed.push(`${name}: smuggled`)
          }),
        )
      }
      assert.deepEqual(passed, [])
      assert.equal((await gateway.billsOf(project)).length, before)
    })

    test('a host opens nothing and closes nothing', async () => {
      for (const name of [
        '127.0.0.1',
        'localhost',
        'api.openai.com',
        'accounts',
        'example.test:0',
        '',
        "'",
        'a'.repeat(300),
      ]) {
        const get = (more: string) =>
          gateway.raw(`GET /v1/models HTTP/1.1\r\nHost: ${name}\r\n${more}Connection: close\r\n\r\n`)
        assert.match(
          await get('X-Forwarded-Host: localhost\r\nX-Forwarded-For: 127.0.0.1\r\n'),
          /^HTTP\/1\.1 401 /,
          name,
        )
        assert.match(await get(`X-Api-Key: ${project.apiKey}\r\n`), /^HTTP\/1\.1 200 /, name)
      }
    })

    test('the management routes are as closed as ever behind strange targets', async () => {
      for (const target of [
        '/accounts/projects',
        '//accounts/projects',
        '/x/../accounts/projects',
        '/accounts/%2e%2e/accounts/projects',
        'http://x/accounts/projects',
        '/accounts\\projects',
      ]) {
        const answer = await gateway.raw(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
        assert.match(answer, /^HTTP\/1\.1 (400|401|404) /, target)
      }
    })

    test('no answer to a bad request tells of its headers or says who serves', async () => {
      const answer = await gateway.raw(request([at, 'X-Secret: canary', length, chunked], chunks))
      assert.ok(!/canary|ma-|node|fastify|undici/i.test(answer), answer)
    })
  })
}
