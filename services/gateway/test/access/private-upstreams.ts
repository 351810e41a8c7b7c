import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { openBucket } from '@sluice/bus'
import { Project } from '@sluice/contracts'
import { busOf, eventually } from '@sluice/test-env'
import type { GatewayStack } from '../gateway-stack.ts'
import { startScriptedProvider } from '../scripted-provider.ts'

/** A gateway that allows no private addresses, whatever reaches it as a project's settings. */
export function privateUpstreamsAreClosed(gateway: GatewayStack): void {
  suite('private addresses', () => {
    test('the gateway connects to none, neither by address nor by a name that leads there', async () => {
      const canary = await startScriptedProvider()
      try {
        const { port } = new URL(canary.url)
        const script = canary.add({ chunks: ['{}'] })
        const bus = busOf(gateway.stack.natsAdmin)
        const projects = await openBucket(bus, 'projects', Project)
        const made = await gateway.newProject()
        for (const host of ['127.0.0.1', '2130706433', '127.1', '[::ffff:127.0.0.1]', '0.0.0.0', 'localhost']) {
          const project = await projects.get(made.projectId)
          assert.ok(project)
          // As a settings service that was deceived would write it.
          const base_url = `http://${host}:${port}`
          const integrations = [
            { integration_id: 'int_1', dialect: 'openai' as const, base_url: `${base_url}/v1` },
            { integration_id: 'int_2', dialect: 'anthropic' as const, base_url },
          ]
          await projects.put(made.projectId, { ...project, version: project.version + 1, integrations })
          const headers = { 'x-script': script }
          const openai = await eventually(async () => {
            const body = { model: 'gpt-5.4-mini', messages: [] }
            const answer = await gateway.post('/v1/chat/completions', made.apiKey, body, { headers })
            const text = await answer.text()
            return answer.headers.get('sluice-served-by') !== 'simulator' && { status: answer.status, text }
          })
          assert.equal(openai.status, 502, host)
          assert.match(openai.text, /address/, host)
          const body = { model: 'claude-sonnet-4-6', max_tokens: 1, stream: true, messages: [] }
          const anthropic = await gateway.post('/anthropic/v1/messages', made.apiKey, body, { headers })
          assert.equal(anthropic.status, 502, host)
          await anthropic.arrayBuffer()
        }
        assert.equal(canary.seen.length, 0, 'nothing arrived')
      } finally {
        await canary.close()
      }
    })

    test('what a caller writes into a request never chooses where it goes', async () => {
      const canary = await startScriptedProvider()
      try {
        const names = [
          'base_url',
          'api_base',
          'baseURL',
          'url',
          'endpoint',
          'api_url',
          'proxy',
          'user_config',
          'litellm_params',
          'provider',
          'host',
          'router',
          'fallbacks',
        ]
        const evil = Object.fromEntries(names.map(name => [name, canary.url]))
        const body = {
          model: 'gpt-5.4-mini',
          messages: [{ role: 'user', content: 'x' }],
          ...evil,
          metadata: evil,
          extra_body: { ...evil, extra: evil },
        }
        const headers = Object.fromEntries([
          ...names.map(name => [name.replace('_', '-'), canary.url]),
          ['x-base-url', canary.url],
          ['x-portkey-custom-host', canary.url],
        ])
        delete headers.host
        const { apiKey } = gateway.stack
        const answer = await gateway.post(`/v1/chat/completions?base_url=${canary.url}`, apiKey, body, { headers })
        await answer.arrayBuffer()
        assert.equal(answer.status, 200)
        assert.equal(answer.headers.get('sluice-served-by'), 'simulator')
        assert.equal(canary.seen.length, 0)
      } finally {
        await canary.close()
      }
    })
  })
}
