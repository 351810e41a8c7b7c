import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { jetstreamManager } from '@nats-io/jetstream'
import { eventually } from '@sluice/test-env'
import type { GatewayStack, TestProject } from '../gateway-stack.ts'

const model = 'gpt-5.4-mini'

/** How much is on record as made by a project. */
export async function recordsOf(gateway: GatewayStack, { projectId }: TestProject): Promise<number> {
  const manager = await jetstreamManager(gateway.stack.natsAdmin)
  const subject = `$KV.made-objects.${projectId}.>`
  const { state } = await manager.streams.info('KV_made-objects', { subjects_filter: subject })
  return Object.keys(state.subjects ?? {}).length
}

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

  suite('references', { concurrency: 1 }, () => {
    test('a response is gone on from by the project that made it, whichever class is open; to every other one it does not exist', async () => {
      const mine = [await gateway.newProject(), await gateway.newProject(withClasses('stored'))]
      const theirs = await gateway.newProject(withClasses('stored'))
      for (const project of mine)
        for (const stream of [false, true]) {
          const made = await post(project, '/v1/responses', { stream })
          const id = stream ? /resp_\w+/.exec(made.body)?.[0] : made.body.id
          // At once: its record may still be on its way.
          assert.equal((await post(project, '/v1/responses', { previous_response_id: id })).status, 200)
          const refusals = ['/v1/responses', '/v1/responses/compact', '/v1/responses/input_tokens'].flatMap(path =>
            [id, 'resp_nobody_made'].map(asked =>
              isRefused(
                theirs,
                path,
                { previous_response_id: asked },
                [400, 'previous_response_not_found'],
                new RegExp(`^Previous response with id '${asked}' not found among those that this project has made`),
              ),
            ),
          )
          await Promise.all(refusals)
          await isRefused(
            theirs,
            '/v1/responses',
            { previous_response_id: id, background: true },
            [400, 'previous_response_not_found'],
            /not found/,
          )
        }
      for (const project of mine)
        assert.equal(
          (await post(project, '/v1/responses', { previous_response_id: null, conversation: null })).status,
          200,
        )
    })

    test('a response that is not kept is not gone on from, and leaves no record; with a credential of its own the provider decides', async () => {
      const project = await gateway.newProject()
      const made = await post(project, '/v1/responses', { store: false })
      await eventually(() => gateway.eventsOf(project.projectId).length === 1)
      const refused: [number, string] = [400, 'previous_response_not_found']
      await isRefused(project, '/v1/responses', { previous_response_id: made.body.id }, refused, /that were kept/)
      assert.equal(await recordsOf(gateway, project), 0)
      const own = await gateway.newProject({ ownCredential: true })
      const input = [{ type: 'item_reference', id: 'msg_1' }]
      const asked = { previous_response_id: made.body.id, input, prompt: { id: 'pmpt_1' }, conversation: 'conv_1' }
      assert.equal((await post(own, '/v1/responses', asked)).status, 200)
      assert.equal(await recordsOf(gateway, own), 0)
    })

    test('items are named again by the project whose responses they stand in, and by no other', async () => {
      const [mine, theirs] = [await gateway.newProject(), await gateway.newProject()]
      for (const stream of [false, true]) {
        const made = await post(mine, '/v1/responses', { stream, reasoning: { effort: 'high' } })
        const text = stream ? made.body : JSON.stringify(made.body)
        const [item, thought] = [/msg_\w+/, /rs_\w+/].map(pattern => pattern.exec(text)?.[0])
        const input = [
          { role: 'user', content: 'Hello' },
          { type: 'reasoning', id: thought, summary: [] },
          { type: 'item_reference', id: item },
          { id: item },
        ]
        assert.equal((await post(mine, '/v1/responses', { input })).status, 200)
        for (const only of input.slice(1))
          await isRefused(theirs, '/v1/responses', { input: [only] }, [404, 'not_found'], /^Item with id '/)
      }
    })

    test('a container is named again by the project whose reply named it, and by no other', async () => {
      const [mine, theirs] = [await gateway.newProject(), await gateway.newProject()]
      const ask = (project: TestProject, body: object) =>
        gateway.post('/anthropic/v1/messages', project.apiKey, {
          model: 'claude-sonnet-4-5',
          max_tokens: 9,
          messages: [{ role: 'user', content: 'x' }],
          ...body,
        })
      for (const stream of [false, true]) {
        const tools = [{ type: 'code_execution_20250825', name: 'code_execution' }]
        const made = await ask(mine, { stream, tools })
        const id = /container_\w+/.exec(await made.text())?.[0]
        assert.ok(id)
        assert.equal((await ask(mine, { container: id })).status, 200)
        const refused = await ask(theirs, { container: id })
        assert.deepEqual(
          [refused.status, ((await refused.json()) as { error: { type: string } }).error.type],
          [404, 'not_found_error'],
        )
      }
    })

    test('what is never made through this proxy is refused under the operator’s credential, each with what to do', async () => {
      const project = await gateway.newProject()
      const search = { type: 'file_search', vector_store_ids: ['vs_1'] }
      const code = { type: 'code_interpreter', container: 'cntr_1' }
      for (const [path, body, says] of [
        ['/v1/responses', { tools: [search] }, /no vector store "vs_1"/],
        ['/v1/responses', { tools: [code] }, /no container "cntr_1"/],
        ['/v1/responses', { prompt: { id: 'pmpt_1' } }, /no prompt "pmpt_1"/],
        [
          '/v1/chat/completions',
          { messages: [{ role: 'assistant', audio: { id: 'audio_1' } }] },
          /Send its transcript/,
        ],
      ] as const)
        await isRefused(project, path, body, [404, 'not_found'], says)
      const messages = { model: 'claude-sonnet-4-5', max_tokens: 9, messages: [{ role: 'user', content: 'x' }] }
      const answer = [404, 'not_found_error'] as [number, string]
      await isRefused(
        project,
        '/anthropic/v1/messages',
        { ...messages, container: 'c_1' },
        answer,
        /no container "c_1"/,
      )
      const skills = [{ type: 'custom', skill_id: 'skill_1', version: 'latest' }]
      await isRefused(project, '/anthropic/v1/messages', { ...messages, container: { skills } }, answer, /no skill/)
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
