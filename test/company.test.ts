import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually, sized } from '@sluice/test-env'
import { EventFeed } from './event-feed.ts'
import { loadCompany } from './load-company.ts'
import { storyStack } from './story-stack.ts'

const { pageSize, ...size } = sized({
  small: { members: 8, teams: 3, keys: 21, pageSize: 6 },
  full: { members: 20, teams: 4, keys: 50, pageSize: 15 },
})

test('a company is loaded by REST, listed whole, and every key of it works at once, paid by its team', async t => {
  const { stack, admin } = await storyStack()
  const startedAt = performance.now()
  const company = await loadCompany(admin, size)
  t.diagnostic(`${JSON.stringify(size)} in ${Math.round(performance.now() - startedAt)} ms`)
  const list = async (kind: string): Promise<string[]> => {
    const ids: string[] = []
    let token = ''
    do {
      const query = `page_size=${pageSize}${token && `&continuation_token=${token}`}`
      const { body } = await admin.call<Record<string, { id: string }[]> & { continuation_token: string | null }>(
        'GET',
        `${company.path}/${kind}?${query}`,
      )
      ids.push(...(body[kind === 'api-keys' ? 'keys' : kind] ?? []).map(({ id }) => id))
      token = body.continuation_token ?? ''
    } while (token !== '')
    return ids
  }
  for (const [kind, ids] of [
    ['teams', company.teams],
    ['users', company.members],
    ['api-keys', company.keys.map(({ id }) => id)],
  ] as const)
    assert.deepEqual((await list(kind)).sort(), [...ids].sort(), kind)

  const feed = new EventFeed(stack)
  t.after(() => feed.close())
  await Promise.all(
    company.keys.map(async ({ value, teamId }, n) => {
      const answer = await fetch(`${stack.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${value}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'gpt-5.4-mini', max_tokens: 1, messages: [{ role: 'user', content: `${n}` }] }),
      })
      assert.equal(answer.status, 200, await answer.text())
      const callId = answer.headers.get('sluice-call-id') ?? ''
      const event = await eventually(() => feed.all.find(event => event.call_id === callId))
      assert.equal(event.identity.team_id, teamId)
    }),
  )
})
