import assert from 'node:assert/strict'
import { test } from 'node:test'
import { jetstream } from '@nats-io/jetstream'
import { eventually, publishUsageBody } from '@sluice/test-env'
import { storyStack } from './story-stack.ts'

const consumers = ['billing', 'budget', 'analytics'] as const
type Consumer = (typeof consumers)[number]

const { stack } = await storyStack()

const operatorOf = (service: Consumer) => stack.services[service].plan.readyUrl.replace('/health/ready', '')

interface Letters {
  count: number
  dead_letters: Record<string, unknown>[]
}

async function ask<Answer>(service: Consumer, path: string, body?: object): Promise<{ status: number; body: Answer }> {
  const answer = await fetch(`${operatorOf(service)}${path}`, {
    method: body ? 'POST' : 'GET',
    ...(body ? { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } } : {}),
  })
  return { status: answer.status, body: (await answer.json()) as Answer }
}

const idOf = (letter: Record<string, unknown> | undefined) => String(letter?.id ?? letter?.dead_letter_id)
const lettersOf = async (service: Consumer) => (await ask<Letters>(service, '/dead-letters')).body

interface Completeness {
  complete: boolean
  dead_letters: { count: number }
  discarded: { count: number; latest: Record<string, unknown>[] }
}

let published: Promise<void> | undefined

/** What no version of these services can read: an event that is none, and a message that names no series. */
async function publishUnreadable(): Promise<void> {
  await publishUsageBody(
    { connection: stack.natsAdmin },
    { gatewayId: 'gw_x', epoch: 1, partition: 2, first: 1, last: 1 },
    '{"so":1}',
  )
  await jetstream(stack.natsAdmin).publish('usage.recorded.v1.3', 'nameless')
}

for (const service of consumers) {
  test(`what ${service} cannot apply is looked at, and given up only with a name and a reason`, async () => {
    published ??= publishUnreadable()
    await published
    const { dead_letters: letters } = await eventually(async () => {
      const found = await lettersOf(service)
      return found.count === 2 && found
    })
    const shown = await Promise.all(
      letters.map(
        async letter => (await ask<{ content: string }>(service, `/dead-letters/${idOf(letter)}`)).body.content,
      ),
    )
    assert.deepEqual(shown.sort(), ['nameless', '{"so":1}'])
    const [first, second] = letters.map(idOf)
    const before = (await ask<Completeness>(service, '/completeness')).body
    assert.deepEqual([before.complete, before.dead_letters.count, before.discarded.count], [false, 2, 0])

    assert.equal((await ask(service, `/dead-letters/${first}/replay`, {})).status, 409)
    for (const body of [{}, { by: 'ops@example.org' }, { by: ' ', reason: 'a test wrote it' }])
      assert.equal((await ask(service, `/dead-letters/${first}/discard`, body)).status, 400)
    assert.equal((await lettersOf(service)).count, 2)
    const why = { by: 'ops@example.org', reason: 'a test wrote it' }
    for (const id of [first, second]) assert.equal((await ask(service, `/dead-letters/${id}/discard`, why)).status, 200)
    assert.equal((await ask(service, `/dead-letters/${first}/discard`, why)).status, 404)
    assert.equal((await ask(service, `/dead-letters/${first}/replay`, {})).status, 404)

    const { complete, dead_letters, discarded } = (await ask<Completeness>(service, '/completeness')).body
    assert.deepEqual([complete, dead_letters.count, discarded.count], [true, 0, 2])
    for (const letter of discarded.latest) {
      assert.deepEqual([letter.discarded_by, letter.reason], [why.by, why.reason])
      assert.ok(Math.abs(Date.parse(String(letter.discarded_at)) - Date.now()) < 60_000)
    }
  })
}

test('a discarded message does not come back when the stream is read again', async () => {
  // The same bytes again stand for a stream that is read anew: they name no series, so no mark knows them.
  await jetstream(stack.natsAdmin).publish('usage.recorded.v1.3', 'nameless')
  await jetstream(stack.natsAdmin).publish('usage.recorded.v1.3', 'another')
  for (const service of consumers) {
    const { dead_letters: letters } = await eventually(async () => {
      const found = await lettersOf(service)
      return found.count > 0 && found
    })
    const { body } = await ask<{ content: string }>(service, `/dead-letters/${idOf(letters[0])}`)
    assert.deepEqual([letters.length, body.content], [1, 'another'])
  }
})
