import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { request as sendRequest } from 'node:http'
import { suite, test } from 'node:test'
import { eventually } from '@sluice/test-env'
import type { GatewayStack } from '../gateway-stack.ts'
import { openSocket, refusedUpgrade } from '../sockets/socket-client.ts'
import { mintToken } from './mint-token.ts'

/** A proxy that the gateway believes, and an address it does not know; both are this machine. */
export const trustedProxy = '127.0.0.2'
const elsewhere = '127.0.0.3'

/** What limits keys beside their models, and what becomes of their secrets, from REST to a call. */
export function keysHaveLimits(gateway: GatewayStack): void {
  /** The status and error code of a call from an address, perhaps through a proxy. */
  const ask = (credential: string, from?: { address?: string; forwardedFor?: string; path?: string; body?: object }) =>
    new Promise<[status: number, code: string | undefined]>((resolve, reject) => {
      const body = from?.body && JSON.stringify(from.body)
      const request = sendRequest(
        `${gateway.url}${from?.path ?? '/v1/models'}`,
        {
          method: body ? 'POST' : 'GET',
          agent: false,
          localAddress: from?.address ?? '127.0.0.1',
          headers: {
            authorization: `Bearer ${credential}`,
            ...(body ? { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) } : {}),
            ...(from?.forwardedFor === undefined ? {} : { 'x-forwarded-for': from.forwardedFor }),
          },
        },
        async answer => {
          let text = ''
          for await (const chunk of answer) text += chunk
          resolve([answer.statusCode ?? 0, JSON.parse(text).error?.code])
        },
      )
      request.on('error', reject)
      request.end(body)
    })
  const works = async (credential: string, from?: Parameters<typeof ask>[1]) => (await ask(credential, from))[0] === 200
  const chat = { model: 'gpt-5.4-mini', max_tokens: 5, messages: [{ role: 'user', content: 'x' }] }

  suite('limits of keys', { concurrency: 4 }, () => {
    test('a key, its tokens, its sockets and its client secrets come from its addresses alone', async () => {
      const project = await gateway.newProject({ settings: { path_classes: { realtime_calls: true } } })
      const keys = `/accounts/projects/${project.projectId}/api-keys`
      const { body: key } = await gateway.manage('POST', keys, { name: 'x', ip_ranges: ['127.0.0.1'] })
      const token = await mintToken(key.value)
      await eventually(() => works(key.value))
      const secret = (
        await gateway.openai(key.value).realtime.clientSecrets.create({
          session: { type: 'realtime', model: 'gpt-realtime' },
        })
      ).value
      const realtime = '/v1/realtime?model=gpt-realtime'
      for (const credential of [key.value, token]) {
        assert.deepEqual(await ask(credential), [200, undefined])
        for (const path of ['/v1/models', '/v1/chat/completions', '/v1/audio/transcriptions'])
          assert.deepEqual(
            await ask(credential, { address: elsewhere, path, ...(path === '/v1/models' ? {} : { body: chat }) }),
            [403, 'ip_not_allowed'],
            path,
          )
        const [status] = await ask(credential, { address: elsewhere, path: '/anthropic/v1/models' })
        assert.equal(status, 403)
        const socket = await openSocket(gateway, '/v1/responses', credential, { localAddress: '127.0.0.1' })
        socket.socket.close()
        const refused = await refusedUpgrade(gateway, '/v1/responses', {
          headers: { authorization: `Bearer ${credential}` },
          localAddress: elsewhere,
        })
        assert.deepEqual([refused.status, refused.body.error.code], [403, 'ip_not_allowed'])
      }
      const begun = await openSocket(gateway, realtime, secret, { localAddress: '127.0.0.1' })
      begun.socket.close()
      const refused = await refusedUpgrade(gateway, realtime, {
        headers: { authorization: `Bearer ${secret}` },
        localAddress: elsewhere,
      })
      assert.deepEqual([refused.status, refused.body.error.code], [403, 'ip_not_allowed'])

      // What a client says of itself counts as little as what a proxy nobody trusts says of it.
      assert.ok(!(await works(key.value, { address: elsewhere, forwardedFor: '127.0.0.1' })))
      assert.ok(await works(key.value, { forwardedFor: elsewhere }))
      assert.ok(await works(key.value, { address: trustedProxy, forwardedFor: `${elsewhere}, 127.0.0.1` }))
      assert.ok(!(await works(key.value, { address: trustedProxy, forwardedFor: `127.0.0.1, ${elsewhere}` })))
      assert.ok(!(await works(key.value, { address: trustedProxy })))
      assert.ok(!(await works(key.value, { address: trustedProxy, forwardedFor: 'unknown' })))

      // The same address where the key manages.
      const whoami = '/accounts/whoami'
      assert.ok(await works(key.value, { path: whoami }))
      assert.deepEqual(await ask(key.value, { address: elsewhere, path: whoami }), [403, 'ip_not_allowed'])
      assert.ok(await works(key.value, { address: trustedProxy, forwardedFor: '127.0.0.1', path: whoami }))
      assert.ok(!(await works(key.value, { address: trustedProxy, forwardedFor: elsewhere, path: whoami })))

      await gateway.manage('PATCH', `${keys}/${key.id}`, { ip_ranges: [elsewhere] })
      await eventually(() => works(token, { address: elsewhere }))
      assert.ok(!(await works(token)))
      await gateway.manage('PATCH', `${keys}/${key.id}`, { ip_ranges: null })
      await eventually(() => works(token))
    })

    test('a rotated key is one key to usage; the old secret and its tokens work until the overlap ends', async t => {
      const project = await gateway.newProject()
      const path = `/accounts/projects/${project.projectId}/api-keys/${project.keyId}`
      const overlapMs = 3_000
      const { body } = await gateway.manage('POST', `${path}/rotate`, { overlap_seconds: overlapMs / 1_000 })
      const until = performance.now() + overlapMs
      const [old, fresh] = [project.apiKey, body.value as string]
      const since = performance.now()
      await eventually(() => works(fresh), { intervalMs: 5 })
      t.diagnostic(`the new secret worked ${Math.round(performance.now() - since)} ms after the answer`)
      const tokens = [await mintToken(old), await mintToken(fresh)] as const
      for (const credential of [old, fresh, ...tokens]) {
        const answer = await gateway.post('/v1/chat/completions', credential, chat)
        assert.equal(answer.status, 200, await answer.text())
        const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
        assert.equal(event.identity.key_id, project.keyId)
      }
      assert.ok(performance.now() < until, 'the overlap was long enough for this')
      await eventually(async () => !(await works(old)))
      assert.ok(performance.now() >= until - 1_000)
      assert.ok(!(await works(tokens[0])))
      assert.ok((await works(fresh)) && (await works(tokens[1])))

      const { body: last } = await gateway.manage('POST', `${path}/rotate`, { overlap_seconds: 0 })
      await eventually(async () => !(await works(fresh)))
      assert.ok(!(await works(tokens[1])))
      assert.ok(await works(last.value))
    })

    test('a key shows when a call of it, or of a token of it, was let in last', async () => {
      const project = await gateway.newProject()
      const keys = `/accounts/projects/${project.projectId}/api-keys`
      const { body: key } = await gateway.manage('POST', keys, { name: 'x' })
      const lastUsed = async (): Promise<string | null> =>
        (await gateway.manage('GET', `${keys}/${key.id}`)).body.last_used_at
      assert.equal(await lastUsed(), null)
      const before = Date.now()
      await eventually(() => works(key.value))
      const first = await eventually(lastUsed)
      assert.ok(Date.parse(first) >= before && Date.parse(first) <= Date.now())
      // Seen by the gateway since: what it remembers is kept.
      await gateway.manage('PATCH', `${keys}/${key.id}`, { name: 'y' })
      assert.ok(await works(await mintToken(key.value)))
      await eventually(async () => Date.parse((await lastUsed()) ?? '') > Date.parse(first))
      const { body } = await gateway.manage('GET', keys)
      assert.ok(body.keys.every(({ last_used_at }: { last_used_at: unknown }) => typeof last_used_at === 'string'))
    })

    test('the key of another system calls by its hash, in any shape, until it is revoked', async () => {
      const project = await gateway.newProject()
      const keys = `/accounts/projects/${project.projectId}/api-keys`
      for (const foreign of [
        `sk-proj-${randomBytes(24).toString('base64url')}`,
        `pk.${randomBytes(24).toString('hex')}`,
        `ma-${randomBytes(24).toString('hex')}`,
        'ma-Ej5FZ.ibEtOkVkJmFBdAAA-Dx4tPEtaaXiQq83vEjRWeA-of-another-installation',
      ]) {
        assert.equal((await ask(foreign))[0], 401)
        const foreign_sha256 = createHash('sha256').update(foreign).digest('hex')
        const { body: key } = await gateway.manage('POST', keys, {
          name: 'moved',
          foreign_sha256,
          models: ['openai/*'],
        })
        await eventually(() => works(foreign))
        const answer = await gateway.post('/v1/chat/completions', foreign, chat)
        assert.equal(answer.status, 200, await answer.text())
        const { identity } = await gateway.eventOf(answer.headers.get('sluice-call-id'))
        assert.deepEqual(
          [identity.key_id, identity.project_id, identity.credential_kind],
          [key.id, project.projectId, 'key'],
        )
        assert.equal((await ask(foreign_sha256))[0], 401, 'its hash is no key')
        assert.equal((await ask(foreign, { path: '/accounts/whoami' }))[0], 401, 'it manages nothing')
        await gateway.manage('DELETE', `${keys}/${key.id}`)
        await eventually(async () => (await ask(foreign))[0] === 401)
      }
    })
  })
}
