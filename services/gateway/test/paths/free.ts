import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { toFile } from 'openai'
import { type GatewayStack, requestIdOf, type TestProject } from '../gateway-stack.ts'

/** Moderations and files: open where a project says so, metered with events of no cost, each project's own. */
export function freePathsCostNothing(gateway: GatewayStack, closed: TestProject): void {
  const open = { settings: { path_classes: { free: true } } }
  const ask = (method: string, path: string, apiKey: string) =>
    fetch(`${gateway.url}${path}`, { method, headers: { authorization: `Bearer ${apiKey}` } })
  const upload = async (project: TestProject, text: string) =>
    gateway
      .openai(project.apiKey)
      .files.create({ purpose: 'user_data', file: await toFile(Buffer.from(text), 'notes.txt') })
      .withResponse()

  suite('free paths', { concurrency: 4 }, () => {
    test('they are refused until the project opens their class', async () => {
      for (const [method, path] of [
        ['POST', '/v1/moderations'],
        ['POST', '/v1/files'],
        ['GET', '/v1/files'],
        ['GET', '/v1/files/file-1'],
        ['GET', '/v1/files/file-1/content'],
        ['DELETE', '/v1/files/file-1'],
      ] as const) {
        const answer = await ask(method, path, closed.apiKey)
        assert.equal(answer.status, 403, path)
        assert.match(await answer.text(), /belongs to the path class \\"free\\", which is off/)
      }
    })

    test('a moderation is an event of no cost, with nothing of what was said', async () => {
      const project = await gateway.newProject(open)
      const { data, response } = await gateway
        .openai(project.apiKey)
        .moderations.create({ input: ['a quiet sea', 'violence at sea'] })
        .withResponse()
      assert.deepEqual(
        data.results.map(({ flagged }) => flagged),
        [false, true],
      )
      const event = await gateway.eventOf(response.headers.get('sluice-call-id'))
      assert.deepEqual([event.endpoint, event.status, event.cost_nano_usd], ['moderations', 'completed', 0])
      assert.deepEqual([event.quantities, event.raw_usage], [{}, null])
      assert.ok(!JSON.stringify(event).includes('sea'))
      assert.equal((await gateway.billOf(requestIdOf(response))).cost_nano_usd, 0)
    })

    test('a file goes up, is listed, read, downloaded and deleted, byte for byte, each an event of no cost', async () => {
      const project = await gateway.newProject({ ...open, ownCredential: true })
      const openai = gateway.openai(project.apiKey)
      const text = 'waves and waves. '.repeat(20_000)
      const { data: file, response } = await upload(project, text)
      assert.equal(file.bytes, Buffer.byteLength(text))
      const event = await gateway.eventOf(response.headers.get('sluice-call-id'))
      assert.deepEqual([event.endpoint, event.cost_nano_usd, event.raw_usage], ['files.upload', 0, null])
      assert.deepEqual(
        (await openai.files.list()).data.map(({ id }) => id),
        [file.id],
      )
      assert.equal((await openai.files.retrieve(file.id)).purpose, 'user_data')
      const content = await openai.files.content(file.id)
      assert.equal(await content.text(), text)
      const download = await gateway.eventOf(content.headers.get('sluice-call-id'))
      assert.deepEqual([download.endpoint, download.status, download.cost_nano_usd], ['files.content', 'completed', 0])
      assert.equal((await openai.files.delete(file.id)).deleted, true)
      await assert.rejects(openai.files.retrieve(file.id), { status: 404 })
    })

    test('a project that shares the operator’s credential has no files, and is told why', async () => {
      const project = await gateway.newProject(open)
      await assert.rejects(upload(project, 'x'), (error: { status?: number; message?: string }) => {
        assert.equal(error.status, 403)
        assert.match(error.message ?? '', /shares the operator's. An admin of the project can set its own/)
        return true
      })
      for (const [method, path] of [
        ['GET', '/v1/files'],
        ['GET', '/v1/files/file-1/content'],
        ['DELETE', '/v1/files/file-1'],
      ] as const)
        assert.equal((await ask(method, path, project.apiKey)).status, 403)
    })

    test('a file of one project is nobody else’s', async () => {
      const [mine, theirs] = [
        await gateway.newProject({ ...open, ownCredential: true }),
        await gateway.newProject({ ...open, ownCredential: true }),
      ]
      const { data: file } = await upload(mine, 'mine')
      for (const [method, path] of [
        ['GET', ''],
        ['GET', '/content'],
        ['DELETE', ''],
      ] as const)
        assert.equal((await ask(method, `/v1/files/${file.id}${path}`, theirs.apiKey)).status, 404)
      assert.deepEqual((await gateway.openai(theirs.apiKey).files.list()).data, [])
      assert.equal((await ask('GET', `/v1/files/${file.id}/content`, mine.apiKey)).status, 200)
    })

    test('what is no form is refused before anything is sent', async () => {
      const project = await gateway.newProject({ ...open, ownCredential: true })
      const answer = await gateway.post('/v1/files', project.apiKey, { purpose: 'user_data' })
      assert.equal(answer.status, 400)
    })
  })
}
