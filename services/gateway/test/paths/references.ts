import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { eventually } from '@sluice/test-env'
import type { GatewayStack, TestProject } from '../gateway-stack.ts'

const model = 'gpt-5.4-mini'

/** Under the operator's credential a request goes on from what its project has made through this proxy, and from nothing else. */
export function referencesStayInTheirProject(gateway: GatewayStack): void {
  const withClasses = (...names: string[]) => ({
    settings: { path_classes: Object.fromEntries(names.map(name => [name, true])) },
  })
  const post = async (project: TestProject, path: string, body: object) => {
    const answer = await gateway.post(path, project.apiKey, { model, input: 'Go on.', ...body })
    const text = await answer.text()
    return { status: answer.status, body: text.startsWith('{') ? JSON.parse(text) : text }
  }
  /** Refused, and nothing of it has reached the provider. */
  const isRefused = async (
    project: TestProject,
    path: string,
    body: object,
    expected: [number, string],
    says: RegExp,
  ) => {
    const before = gateway.eventsOf(project.projectId).length
    const refused = await post(project, path, body)
    assert.deepEqual([refused.status, refused.body.error?.code ?? refused.body.error?.type], expected, path)
    assert.match(refused.body.error.message, says)
    assert.equal(gateway.eventsOf(project.projectId).length, before)
  }

  suite('references', { concurrency: 2 }, () => {
    test('a response is gone on from by the project that made it; to every other one it does not exist', async () => {
      const [mine, theirs] = [
        await gateway.newProject(withClasses('stored')),
        await gateway.newProject(withClasses('stored')),
      ]
      for (const stream of [false, true]) {
        const made = await post(mine, '/v1/responses', { stream })
        const id = stream ? /resp_\w+/.exec(made.body)?.[0] : made.body.id
        // At once: its record may still be on its way.
        assert.equal((await post(mine, '/v1/responses', { previous_response_id: id })).status, 200)
        for (const path of ['/v1/responses', '/v1/responses/compact', '/v1/responses/input_tokens'])
          for (const asked of [id, 'resp_nobody_made'])
            await isRefused(
              theirs,
              path,
              { previous_response_id: asked },
              [400, 'previous_response_not_found'],
              new RegExp(`^Previous response with id '${asked}' not found\\.$`),
            )
        await isRefused(
          theirs,
          '/v1/responses',
          { previous_response_id: id, background: true },
          [400, 'previous_response_not_found'],
          /not found/,
        )
      }
      assert.equal((await post(mine, '/v1/responses', { previous_response_id: null, conversation: null })).status, 200)
    })

    test('where nothing is recorded the refusal says so, and how to go on', async () => {
      const project = await gateway.newProject()
      const made = await post(project, '/v1/responses', {})
      await eventually(() => gateway.eventsOf(project.projectId).length === 1)
      await isRefused(
        project,
        '/v1/responses',
        { previous_response_id: made.body.id },
        [400, 'previous_response_not_found'],
        /is not recorded under the operator's credential.*"path_classes": \{"stored": true\}.*integration of the project's own/,
      )
      const own = await gateway.newProject({ ownCredential: true })
      assert.equal((await post(own, '/v1/responses', { previous_response_id: made.body.id })).status, 200)
    })

    test('a conversation is nobody’s under the operator’s credential', async () => {
      const project = await gateway.newProject(withClasses('stored'))
      for (const conversation of ['conv_1', { id: 'conv_1' }])
        await isRefused(project, '/v1/responses', { conversation }, [404, 'not_found'], /no such conversation/)
    })

    test('a file is read by the project that uploaded it, wherever a request names it; to every other one it is not there', async () => {
      const [mine, theirs] = [
        await gateway.newProject(withClasses('batches')),
        await gateway.newProject(withClasses('batches')),
      ]
      const line = { custom_id: 'a', method: 'POST', url: '/v1/chat/completions', body: { model, messages: [] } }
      const { id } = await gateway.openai(mine.apiKey).files.create({
        file: new File([`${JSON.stringify(line)}\n`], 'batch.jsonl'),
        purpose: 'batch',
      })
      const input = [{ role: 'user', content: [{ type: 'input_file', file_id: id }] }]
      assert.equal((await post(mine, '/v1/responses', { input })).status, 200)
      await isRefused(theirs, '/v1/responses', { input }, [404, 'not_found'], /There is no file/)
      const messages = [{ role: 'user', content: [{ type: 'file', file: { file_id: id } }] }]
      await isRefused(theirs, '/v1/chat/completions', { messages }, [404, 'not_found'], /There is no file/)
      const source = { type: 'file', file_id: 'file_1' }
      const asked = {
        model: 'claude-sonnet-4-5',
        max_tokens: 9,
        messages: [{ role: 'user', content: [{ type: 'document', source }] }],
      }
      await isRefused(theirs, '/anthropic/v1/messages', asked, [404, 'not_found_error'], /There is no file/)
      await eventually(() => gateway.eventsOf(mine.projectId).some(({ endpoint }) => endpoint === 'responses'))
    })
  })
}
