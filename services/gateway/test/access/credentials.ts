import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { eventually, goodToken, hostileTokens, sized } from '@sluice/test-env'
import type { GatewayStack, TestProject } from '../gateway-stack.ts'
import { claimsOf, forgedKeys, partsOf, sign } from './forged-tokens.ts'
import { mintToken as mint } from './mint-token.ts'

/** Who gets in, and to what. */
export function credentialsAreProved(
  gateway: GatewayStack,
  projects: { mine: TestProject; theirs: TestProject },
): void {
  const { mine, theirs } = projects
  const { apiKey } = mine
  /** The cheapest call that needs a credential. */
  const ask = async (headers: Record<string, string>, path = '/v1/models') => {
    const answer = await fetch(`${gateway.url}${path}`, { headers })
    await answer.arrayBuffer()
    return answer.status
  }
  const askWith = (credential: string, path?: string) => ask({ authorization: `Bearer ${credential}` }, path)
  const wordsTo = async (credential: string, path = '/v1/models') => {
    const answer = await fetch(`${gateway.url}${path}`, { headers: { authorization: `Bearer ${credential}` } })
    return ((await answer.json()) as { error: { message: string } }).error.message
  }
  const call = async (credential: string, model = 'gpt-5.4-mini', room?: string) => {
    const claude = model.startsWith('claude')
    const path = `${room === undefined ? '' : `/rooms/${room}`}${claude ? '/anthropic/v1/messages' : '/v1/chat/completions'}`
    const answer = await gateway.post(path, credential, {
      model,
      max_tokens: 5,
      messages: [{ role: 'user', content: 'x' }],
    })
    await answer.arrayBuffer()
    return answer
  }

  suite('credentials', { concurrency: 4 }, () => {
    test('a key and a token that MeshAgent’s client minted pass in either header, in both dialects', async () => {
      for (const credential of [apiKey, await mint(apiKey)]) {
        for (const path of ['/v1/models', '/openai/v1/models', '/anthropic/v1/models', '/rooms/lobby/v1/models'].slice(
          0,
          credential === apiKey ? 4 : 3,
        )) {
          assert.equal(await ask({ authorization: `Bearer ${credential}` }, path), 200)
          assert.equal(await ask({ authorization: `bearer  ${credential}` }, path), 200)
          assert.equal(await ask({ 'x-api-key': credential }, path), 200)
        }
      }
    })

    test('Authorization counts where both headers come', async () => {
      assert.equal(await ask({ authorization: `Bearer ${apiKey}`, 'x-api-key': 'sk-something-local' }), 200)
      assert.equal(await ask({ authorization: 'Bearer ma-forged', 'x-api-key': apiKey }), 401)
    })

    test('nothing that is no credential passes, wherever it stands', async () => {
      const signIn = await fetch(`${gateway.url}/accounts/sign-in`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(gateway.stack.admin),
      })
      const { access_token } = (await signIn.json()) as { access_token: string }
      for (const [name, credential] of [
        ...forgedKeys(apiKey, theirs.apiKey),
        ['a person’s session', access_token] as const,
      ]) {
        assert.equal(await askWith(credential), 401, name)
        assert.equal(await ask({ 'x-api-key': credential }), 401, `${name}, in x-api-key`)
      }
      assert.equal(await ask({}), 401)
      assert.equal(await ask({ authorization: '' }), 401)
      assert.equal(await ask({ authorization: 'Bearer' }), 401)
      assert.equal(
        await ask({ cookie: `api_key=${apiKey}`, 'api-key': apiKey }, `/v1/models?key=${apiKey}&api_key=${apiKey}`),
        401,
      )
    })

    test('no forged, altered or oddly written token passes, in either header', async t => {
      const key = { ...partsOf(apiKey), value: apiKey }
      const attacks = hostileTokens(key, partsOf(theirs.apiKey))
      assert.ok(attacks.length >= sized({ small: 250, full: 450 }))
      t.diagnostic(`${attacks.length} tokens`)
      assert.equal(await askWith(goodToken(key)), 200, 'the one they are made from does')
      const passed: string[] = []
      for (const [index, { what, token }] of attacks.entries()) {
        const status = await (index % 2 === 0 ? askWith(token) : ask({ 'x-api-key': token }))
        // Beyond what a header may hold nobody looks at it.
        if (status !== 401 && !(status === 431 && token.length > 16_000)) passed.push(`${what}: ${status}`)
      }
      assert.deepEqual(passed, [])
    })

    test('two tokens that begin alike are never taken for each other', async () => {
      const claims = claimsOf(apiKey)
      const { secret } = partsOf(apiKey)
      const open = sign({ ...claims, room: 'x' }, secret)
      assert.equal(await askWith(open), 200)
      assert.equal(await askWith(sign({ ...claims, room: 'x' }, partsOf(theirs.apiKey).secret)), 401)
    })

    test('a token dies at its second, also where it has been used before', async () => {
      const token = await mint(apiKey, { expiration: new Date(Date.now() + 2_000) })
      assert.equal(await askWith(token), 200)
      await eventually(async () => (await askWith(token)) === 401, { intervalMs: 50 })
      assert.match(await wordsTo(token), /has expired\. Have a new one made\.$/)
    })

    test('a revoked key takes with it every token that it signed, used or not', async t => {
      const { body: key } = await gateway.manage('POST', `/accounts/projects/${mine.projectId}/api-keys`, {
        name: 'short',
      })
      const [used, unused] = [await mint(key.value), await mint(key.value, { room: 'r' })]
      await eventually(async () => (await askWith(used)) === 200)
      await gateway.manage('DELETE', `/accounts/projects/${mine.projectId}/api-keys/${key.id}`)
      const since = performance.now()
      await eventually(async () => (await askWith(used)) === 401)
      t.diagnostic(`refused ${Math.round(performance.now() - since)} ms after the answer of the revocation`)
      assert.equal(await askWith(unused), 401)
      assert.equal(await askWith(key.value), 401)
      for (const token of [used, unused]) assert.match(await wordsTo(token), /revoked\. Have a new token made\.$/)
    })

    test('a member’s key, its tokens and its running stream stop when its member may not call, and it works again when they may', async t => {
      const project = `/accounts/projects/${mine.projectId}`
      const email = 'switch@example.com'
      const { body: member } = await gateway.manage('POST', `${project}/users`, { email, can_use_llm_proxy: true })
      const { body: key } = await gateway.manage('POST', `${project}/api-keys`, {
        name: 'own',
        member_id: member.user_id,
      })
      const token = await mint(key.value)
      await eventually(async () => (await askWith(token)) === 200)
      const stream = await gateway.post('/v1/chat/completions', key.value, {
        model: 'gpt-5.4-mini',
        stream: true,
        messages: [{ role: 'user', content: '[[sim output_tokens=3000 delay_ms=30]]' }],
      })
      const user = `${project}/users/${member.user_id}`
      await gateway.manage('PUT', user, { can_use_llm_proxy: false })
      const since = performance.now()
      await eventually(async () => (await askWith(key.value)) === 403)
      t.diagnostic(`refused ${Math.round(performance.now() - since)} ms after the answer of the change`)
      assert.match(await stream.text(), /revoked or suspended/)
      assert.equal(await askWith(token), 403)
      await gateway.manage('PUT', user, { roles: ['llm_proxy_user'] })
      await eventually(async () => (await askWith(token)) === 200)
      await gateway.manage('DELETE', user)
      await eventually(async () => (await askWith(key.value)) === 401)
      assert.equal(await askWith(token), 401)
    })

    test('a token opens the room it names and no other; a key opens every room of its project', async () => {
      const lobby = await mint(apiKey, { room: 'lobby' })
      const roomless = await mint(apiKey)
      assert.equal(await askWith(lobby, '/rooms/lobby/openai/v1/models'), 200)
      assert.equal(await askWith(lobby, '/rooms/lobby/anthropic/v1/models'), 200)
      assert.equal(await askWith(lobby), 200)
      assert.equal(await askWith(lobby, '/rooms/kitchen/v1/models'), 403)
      assert.equal(await askWith(roomless, '/rooms/lobby/v1/models'), 403)
      const words = await wordsTo(lobby, '/rooms/kitchen/v1/models')
      assert.match(words, /no grant for room "kitchen"\. Have one made that names it\.$/)
      for (const room of ['Lobby', 'lobby-', '-lobby', 'a'.repeat(64), 'lob%62y', 'lobby%2f', 'lobby;x'])
        assert.equal(await askWith(lobby, `/rooms/${room}/v1/models`), 404, room)

      const inRoom = await gateway.eventOf(
        (await call(apiKey, 'gpt-5.4-mini', 'kitchen')).headers.get('sluice-call-id'),
      )
      assert.deepEqual([inRoom.identity.room, inRoom.identity.credential_kind], ['kitchen', 'key'])
      const byToken = await gateway.eventOf((await call(lobby)).headers.get('sluice-call-id'))
      const { room, participant, credential_kind, project_id, key_id } = byToken.identity
      assert.deepEqual([room, participant, credential_kind], ['lobby', 'bot', 'participant_token'])
      assert.deepEqual([project_id, key_id], [mine.projectId, mine.keyId])
    })

    test('a token without the LLM grant opens nothing', async () => {
      assert.equal(await askWith(await mint(apiKey, { noLlm: true })), 403)
    })

    test('a token opens the models that it lists: none, some, by their beginning, all', async () => {
      const cases: [string[] | undefined, string, number][] = [
        [undefined, 'gpt-5.4-mini', 200],
        [[], 'gpt-5.4-mini', 403],
        [['openai/gpt-5.4-mini'], 'gpt-5.4-mini', 200],
        [['openai/gpt-5.4'], 'gpt-5.4-mini', 403],
        [['openai/gpt-5.4*'], 'gpt-5.4-mini', 200],
        [['openai/*'], 'claude-sonnet-4-6', 403],
        [['openai/*', 'anthropic/claude-sonnet-4-6'], 'claude-sonnet-4-6', 200],
        [['*'], 'claude-sonnet-4-6', 200],
        [['*-mini'], 'gpt-5.4-mini', 403],
        [['OpenAI/GPT-5.4-mini'], 'gpt-5.4-mini', 403],
        [['gpt-5.4-mini'], 'gpt-5.4-mini', 403],
      ]
      for (const [models, model, status] of cases) {
        const answer = await call(await mint(apiKey, models ? { models } : {}), model)
        assert.equal(answer.status, status, JSON.stringify([models, model]))
      }
    })

    test('what the project, its key and the token allow must all allow the model', async () => {
      const narrow = await gateway.newProject({
        allowedModels: [{ provider: 'openai', model: 'gpt-5.4*' }],
        key: { models: ['openai/gpt-5.4-mini', 'anthropic/*'] },
      })
      assert.equal((await call(narrow.apiKey, 'gpt-5.4-mini')).status, 200)
      assert.equal((await call(narrow.apiKey, 'gpt-5.4')).status, 403)
      assert.equal((await call(narrow.apiKey, 'claude-sonnet-4-6')).status, 403)
      assert.equal((await call(await mint(narrow.apiKey, { models: ['openai/gpt-5.4'] }), 'gpt-5.4-mini')).status, 403)
      const list = await gateway.openai(narrow.apiKey).models.list()
      assert.deepEqual(
        list.data.map(({ id }) => id).filter(id => !id.startsWith('gpt-5.4-mini')),
        [],
      )
      assert.ok(list.data.length > 0)
      // Closed while it runs: the next call is refused.
      await gateway.manage('PUT', `/accounts/projects/${narrow.projectId}/settings/router`, { allowedModels: [] })
      await eventually(async () => (await call(narrow.apiKey, 'gpt-5.4-mini')).status === 403)
    })
  })

  suite('models', () => {
    test('both official clients list the priced models of every provider, their own first, and see who answers', async () => {
      const openai = await Array.fromAsync(await gateway.openai(apiKey).models.list())
      const anthropic = await Array.fromAsync(await gateway.anthropic(apiKey).models.list({ limit: 1000 }))
      const [gpt, claude] = ['gpt-5.4-mini', 'claude-sonnet-4-6']
      const placeIn = (list: readonly { id: string }[], wanted: string) => list.findIndex(({ id }) => id === wanted)
      assert.ok(placeIn(openai, gpt) >= 0 && placeIn(openai, gpt) < placeIn(openai, claude))
      assert.ok(placeIn(anthropic, claude) >= 0 && placeIn(anthropic, claude) < placeIn(anthropic, gpt))
      for (const model of openai) assert.deepEqual([model.object, model.owned_by], ['model', 'simulator'])
      for (const model of anthropic)
        assert.deepEqual([model.type, model.display_name], ['model', `${model.id} (simulator)`])
      const one = await gateway.openai(apiKey).models.retrieve('gpt-5.4-mini')
      assert.equal(one.id, 'gpt-5.4-mini')
      assert.equal((await gateway.anthropic(apiKey).models.retrieve('claude-sonnet-4-6')).id, 'claude-sonnet-4-6')
      await assert.rejects(gateway.openai(apiKey).models.retrieve('gpt-unheard-of'), { status: 403 })
    })
  })
}
