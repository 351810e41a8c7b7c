import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { eventually } from '@sluice/test-env'
import type { GatewayStack } from '../gateway-stack.ts'
import { mintToken } from './mint-token.ts'

/** Which team pays for a call, from the settings of a project to the event. */
export function onePays(gateway: GatewayStack): void {
  suite('paying teams', () => {
    test('a member’s call is paid by the team it names and they belong to, else by their default team; a key’s own team always pays', async () => {
      const { projectId, apiKey: nobodys } = await gateway.newProject()
      const path = `/accounts/projects/${projectId}`
      const newTeam = async (name: string, more = {}): Promise<string> =>
        (await gateway.manage('POST', `${path}/teams`, { name, ...more })).body.id
      const [red, blue, green] = [
        await newTeam('Red'),
        await newTeam('Blue', { allowed_models: ['openai/gpt-5.4-mini'] }),
        await newTeam('Green'),
      ]
      const { body: user } = await gateway.manage('POST', `${path}/users`, {
        email: `${projectId}@example.com`,
        roles: ['member', 'llm_proxy_user'],
      })
      for (const team of [red, blue]) await gateway.manage('PUT', `${path}/teams/${team}/members/${user.user_id}`, {})
      await gateway.manage('PUT', `${path}/users/${user.user_id}/default-team`, { team_id: red })
      const newKey = async (more: object): Promise<string> =>
        (await gateway.manage('POST', `${path}/api-keys`, { name: 'x', ...more })).body.value
      const members = await newKey({ member_id: user.user_id })
      const teams = await newKey({ member_id: user.user_id, team_id: green })

      const call = (credential: string, team?: string, model = 'gpt-5.4-mini') =>
        gateway.post(
          '/v1/chat/completions',
          credential,
          { model, max_tokens: 5, messages: [{ role: 'user', content: 'x' }] },
          team === undefined ? {} : { headers: { 'sluice-team': team } },
        )
      const payerOf = async (credential: string, team?: string) => {
        const answer = await call(credential, team)
        assert.equal(answer.status, 200, await answer.text())
        return (await gateway.eventOf(answer.headers.get('sluice-call-id'))).identity.team_id
      }
      await eventually(async () => (await call(members)).status === 200)
      assert.equal(await payerOf(members), red)
      assert.equal(await payerOf(members, blue), blue)
      assert.equal(await payerOf(members, 'blue'), blue)
      assert.equal(await payerOf(members, green), red, 'a team they are not in')
      assert.equal(await payerOf(teams), green)
      assert.equal(await payerOf(teams, blue), green, 'a key with a team of its own')
      assert.equal(await payerOf(nobodys, blue), 'unassigned', 'a key of no member')
      assert.equal(await payerOf(await mintToken(nobodys), blue), 'unassigned')

      // Whatever name is signed with a member's key: the member calls, and their team pays.
      const named = await mintToken(members)
      for (const [team, payer] of [
        [undefined, red],
        [blue, blue],
        [green, red],
      ] as const) {
        const answer = await call(named, team)
        assert.equal(answer.status, 200, await answer.text())
        const { identity } = await gateway.eventOf(answer.headers.get('sluice-call-id'))
        assert.deepEqual([identity.member_id, identity.participant, identity.team_id], [user.user_id, 'bot', payer])
      }

      // What the team that pays allows.
      assert.equal((await call(members, undefined, 'gpt-5.4')).status, 200)
      const refused = await call(members, blue, 'gpt-5.4')
      assert.deepEqual(
        [refused.status, ((await refused.json()) as { error: { code: string } }).error.code],
        [403, 'model_not_allowed'],
      )

      // Who leaves a team has its money no more.
      await gateway.manage('DELETE', `${path}/teams/${blue}/members/${user.user_id}`)
      await eventually(async () => (await payerOf(members, blue)) === red)
    })
  })
}
