import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { eventually } from '@sluice/test-env'
import type { GatewayStack } from '../gateway-stack.ts'
import type { ScriptedProvider } from '../scripted-provider.ts'

/** What the environment of the gateway is to have for these tests. */
export const credentialsEnv = (directory: string) => ({
  GATEWAY_CREDENTIALS_DIR: directory,
  GATEWAY_CREDENTIAL_SPARE: 'sk-from-the-environment',
})

/** By which of a project's integrations calls go, with what they send. */
export function integrationsAreUsed(gateway: GatewayStack, provider: ScriptedProvider, directory: string): void {
  const chat = { model: 'gpt-5.4-mini', max_tokens: 5, messages: [{ role: 'user', content: 'x' }] }
  const reply = JSON.stringify({ id: 'x', object: 'chat.completion', model: 'gpt-5.4-mini', choices: [] })

  suite('integrations', { concurrency: 2 }, () => {
    test('a team’s calls go by its own integration, the others by the project’s, and what it names replaces the client’s', async () => {
      const { projectId } = await gateway.newProject()
      const path = `/accounts/projects/${projectId}`
      const { body: team } = await gateway.manage('POST', `${path}/teams`, { name: 'Blue' })
      const script = provider.add({ chunks: [reply] })
      const create = (more: object) =>
        gateway.manage('POST', `${path}/integrations`, {
          provider: 'openai',
          base_url: `${provider.url}/v1`,
          ...more,
        })
      await create({ name: 'everybody', api_key: 'sk-everybody' })
      await create({
        name: 'blue',
        team_id: team.id,
        api_key: 'sk-blue',
        organization: 'org-blue',
        project: 'proj_blue',
        headers: { 'x-route': 'blue', 'openai-beta': 'ours' },
      })
      await create({ name: 'spare', standby: true, api_key: 'sk-spare' })
      const keyFor = async (more: object): Promise<string> =>
        (await gateway.manage('POST', `${path}/api-keys`, { name: 'x', ...more })).body.value
      const [everybodys, blues] = [await keyFor({}), await keyFor({ team_id: team.id })]
      const sentBy = async (apiKey: string) => {
        const headers = { 'x-script': script, 'openai-beta': 'theirs', 'openai-organization': 'org-theirs' }
        const marked = { ...headers, 'x-mark': `${apiKey} ${Math.random()}` }
        const answer = await eventually(async () => {
          const tried = await gateway.post('/v1/chat/completions', apiKey, chat, { headers: marked })
          await tried.arrayBuffer()
          return tried.status === 200 && tried
        })
        assert.equal(answer.headers.get('sluice-served-by'), new URL(provider.url).host)
        const sent = provider.seen.find(request => request.headers['x-mark'] === marked['x-mark'])?.headers
        return ['authorization', 'openai-organization', 'openai-project', 'x-route', 'openai-beta'].map(
          name => sent?.[name],
        )
      }
      assert.deepEqual(await sentBy(everybodys), ['Bearer sk-everybody', undefined, undefined, undefined, 'theirs'])
      assert.deepEqual(await sentBy(blues), ['Bearer sk-blue', 'org-blue', 'proj_blue', 'blue', 'ours'])
    })

    test('a credential stands in the gateway’s environment or in a file of its, and is followed when the file changes', async () => {
      const { projectId, apiKey } = await gateway.newProject()
      const path = `/accounts/projects/${projectId}`
      const script = provider.add({ chunks: [reply] })
      const { body: made } = await gateway.manage('POST', `${path}/integrations`, {
        name: 'main',
        provider: 'openai',
        base_url: `${provider.url}/v1`,
        api_key_from: { env: 'GATEWAY_CREDENTIAL_SPARE' },
      })
      const call = (mark: string) =>
        gateway.post('/v1/chat/completions', apiKey, chat, { headers: { 'x-script': script, 'x-mark': mark } })
      const sends = async (credential: string) => {
        await eventually(
          async () => {
            const mark = `${projectId} ${Math.random()}`
            await (await call(mark)).arrayBuffer()
            const sent = provider.seen.find(request => request.headers['x-mark'] === mark)?.headers.authorization
            return sent === `Bearer ${credential}`
          },
          { intervalMs: 100 },
        )
      }
      await sends('sk-from-the-environment')
      const file = join(directory, 'openai-key')
      writeFileSync(file, 'sk-from-a-file\n')
      const change = (api_key_from: object) =>
        gateway.manage('PUT', `${path}/integrations/${made.id}`, {
          name: 'main',
          provider: 'openai',
          base_url: `${provider.url}/v1`,
          api_key_from,
        })
      await change({ file: 'openai-key' })
      await sends('sk-from-a-file')
      writeFileSync(file, 'sk-rotated\n')
      await sends('sk-rotated')
      rmSync(file)
      await change({ env: 'GATEWAY_CREDENTIAL_MISSING' })
      await eventually(async () => {
        const answer = await call('none')
        const text = await answer.text()
        return answer.status === 503 && text.includes('GATEWAY_CREDENTIAL_MISSING') && text.includes('Ask the operator')
      })
    })

    test('the test button asks the provider as the gateway would, and says in words what came of it', async () => {
      const { projectId } = await gateway.newProject()
      const path = `/accounts/projects/${projectId}/integrations`
      const simulator = gateway.stack.simulatorUrl
      const tested = async (integration: object) => {
        const { body: made } = await gateway.manage('POST', path, { standby: true, ...integration })
        const { body } = await gateway.manage('POST', `${path}/${made.id}/test`)
        return body as { ok: boolean; message: string; http_status?: number; models?: number; duration_ms: number }
      }
      for (const integration of [
        { name: 'openai', provider: 'openai', base_url: `${simulator}/v1`, api_key: 'sk-any' },
        { name: 'anthropic', provider: 'anthropic', base_url: simulator, api_key: 'sk-any' },
      ]) {
        const { ok, message, http_status, models } = await tested(integration)
        assert.deepEqual([ok, http_status], [true, 200], message)
        assert.ok(models !== undefined && models > 0 && message.includes(`${models} models`))
      }
      const openai = { provider: 'openai', api_key: 'sk-any' }
      const elsewhere = await tested({ ...openai, name: 'elsewhere', base_url: `${provider.url}/none/v1` })
      assert.deepEqual([elsewhere.ok, elsewhere.http_status], [false, 404])
      assert.match(elsewhere.message, /check base_url/)
      // What an integration names goes once, in place of ours, on every way to the provider.
      const dated = { provider: 'anthropic', api_key: 'sk-any', headers: { 'anthropic-version': '2099-01-01' } }
      await tested({ ...dated, name: 'dated', base_url: `${provider.url}/dated` })
      const asked = provider.seen.find(({ url }) => url?.startsWith('/dated/v1/models'))
      assert.equal(asked?.headers['anthropic-version'], '2099-01-01')
      const nobody = await tested({ ...openai, name: 'nobody', base_url: 'http://127.0.0.1:9/v1' })
      assert.deepEqual([nobody.ok, nobody.http_status], [false, undefined])
      assert.match(nobody.message, /could not be reached/)
    })
  })
}
