import assert from 'node:assert/strict'
import { test } from 'node:test'
import { matchPath } from './match-path.ts'

const nameOf = (method: string, target: string) => matchPath(method, target)?.endpoint?.name

test('every path is served at each of its mount points', () => {
  for (const mount of ['/openai/v1', '/v1', '/rooms/lobby/openai/v1', '/rooms/lobby/v1']) {
    assert.equal(nameOf('POST', `${mount}/chat/completions`), 'chat.completions')
    assert.equal(nameOf('POST', `${mount}/responses`), 'responses')
    assert.equal(nameOf('POST', `${mount}/embeddings?x=1`), 'embeddings')
    assert.equal(nameOf('GET', `${mount}/models`), 'models')
  }
  for (const mount of ['/anthropic/v1', '/rooms/lobby/anthropic/v1']) {
    assert.equal(nameOf('POST', `${mount}/messages?beta=true`), 'messages')
    assert.equal(nameOf('POST', `${mount}/messages/count_tokens`), 'messages.count_tokens')
    assert.equal(nameOf('GET', `${mount}/models?limit=1000`), 'models')
  }
})

test('room, query and model id are read from the target', () => {
  const match = matchPath('GET', '/rooms/my-room/openai/v1/models/ft%3Agpt-4o?a=b%20c')
  assert.equal(match?.room, 'my-room')
  assert.equal(match?.query, '?a=b%20c')
  assert.equal(match?.parameter, 'ft:gpt-4o')
})

test('a parameter is one segment that is there', () => {
  assert.equal(matchPath('GET', '/anthropic/v1/models/claude-opus-4-5')?.parameter, 'claude-opus-4-5')
  assert.equal(matchPath('GET', '/v1/models/vendor%2Fmodel')?.parameter, 'vendor/model')
  for (const id of ['', 'a/b', 'gpt-4o/', '%zz', 'x'.repeat(1_000)])
    assert.equal(nameOf('GET', `/v1/models/${id}`), undefined, id.slice(0, 20))
})

test('an id of something stored is plain, since it goes on as it came', () => {
  const match = matchPath('GET', '/v1/responses/resp_0a-1?stream=true')
  assert.deepEqual([match?.endpoint?.name, match?.parameter], ['responses.retrieve', 'resp_0a-1'])
  assert.equal(nameOf('POST', '/rooms/lobby/v1/responses/resp_1/cancel'), 'responses.cancel')
  assert.equal(nameOf('GET', '/openai/v1/responses/resp_1/input_items'), 'responses.input_items')
  assert.equal(nameOf('DELETE', '/v1/responses/resp_1'), 'responses.delete')
  for (const id of ['a%2Fb', '..', '.', 'a/b', 'x'.repeat(257), 'resp_1/', 'a b', 'é'])
    assert.equal(nameOf('GET', `/v1/responses/${id}`), undefined, id.slice(0, 20))
})

test('a socket is opened on a path for sockets only', () => {
  assert.equal(matchPath('GET', '/v1/models', 'websocket')?.endpoint, undefined)
})

test('what is in no row has no endpoint, also with a trailing slash, another method or another spelling', () => {
  for (const [method, target] of [
    ['POST', '/openai/v1/assistants'],
    ['POST', '/openai/v1/chat/completions/'],
    ['GET', '/openai/v1/chat/completions'],
    ['DELETE', '/openai/v1/models'],
    ['POST', '/openai/v1/Chat/completions'],
    ['POST', '/openai/v1//chat/completions'],
    ['POST', '/openai/v1/./chat/completions'],
    ['POST', '/openai/v1/chat%2Fcompletions'],
    ['POST', '/v1/messages'],
    ['POST', '/anthropic/v1/chat/completions'],
  ] as const) {
    const match = matchPath(method, target)
    assert.ok(match, target)
    assert.equal(match.endpoint, undefined, target)
  }
})

test('other paths and malformed rooms are no provider path', () => {
  for (const target of [
    '/',
    '/accounts/projects',
    '/rooms/lobby',
    '/rooms/Lobby/openai/v1/models',
    '/rooms/a..b/v1/models',
    '/openai/v2/models',
    '/openaiv1/models',
  ]) {
    assert.equal(matchPath('GET', target), undefined, target)
  }
})
