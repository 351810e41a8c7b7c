import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultMaxSockets, problemOfMaxSockets, readOpenFileLimit } from './socket-files.ts'

test('as many sockets as two files each allow, with a tenth and at least 200 of the files left for calls, 20,000 at most', () => {
  for (const [limit, sockets] of [
    [undefined, 20_000],
    [1_048_576, 20_000],
    [44_446, 20_000],
    [20_000, 9_000],
    [1_024, 412],
    [256, 28],
    [64, 1],
  ] as const)
    assert.equal(defaultMaxSockets(limit), sockets, `${limit}`)
})

test('a number of sockets that cannot be held is a problem that names the limit, the files needed and what to do', () => {
  assert.equal(problemOfMaxSockets(412, 1_024), undefined)
  assert.equal(problemOfMaxSockets(1_000_000, undefined), undefined)
  assert.equal(
    problemOfMaxSockets(413, 1_024),
    'GATEWAY_MAX_SOCKETS=413 needs 1026 open files (2 a socket, 200 for all else), and this process may open 1024: ' +
      'raise that ("ulimit -n 1026", "LimitNOFILE=1026" of its unit, "nofile" of its container), or set 412 at most',
  )
  assert.match(problemOfMaxSockets(1, 64) ?? '', /may open 64: raise that \(.*\)$/)
})

test('the limit of this process is known where its system tells it', t => {
  const limit = readOpenFileLimit()
  t.diagnostic(`${limit} open files`)
  if (process.platform === 'linux') assert.ok(limit === undefined || limit >= 64)
})
