import assert from 'node:assert/strict'
import { test } from 'node:test'
import { jetstreamManager } from '@nats-io/jetstream'
import { newHeaders, publishOften } from '@sluice/bus'
import { UsageRecorded } from '@sluice/contracts'
import { testNats } from '@sluice/test-env'
import { connectGateway, reversed } from './journal-env.ts'

test('what JetStream has not taken is told as an error: refused, no stream of its own, somebody else’s answer, none at all', async t => {
  const scope = reversed(t)
  const nats = await testNats(t)
  const { connection, ...bus } = await connectGateway(scope, nats)
  const publish = (msgID: string, how: { expects?: string; timeoutMs?: number; as?: typeof connection } = {}) => {
    const headers = newHeaders()
    if (how.expects !== undefined) headers.set('Nats-Expected-Stream', how.expects)
    const { timeoutMs = 5_000, as = connection } = how
    return (subject: string) =>
      publishOften({ ...bus, connection: as }, subject, Buffer.from('{}'), { msgID, headers, timeoutMs })
  }
  const usage = UsageRecorded.subject(0)
  const manager = await jetstreamManager(nats.admin)
  const messages = async () => (await manager.streams.info('USAGE')).state.messages

  await publish('a')(usage)
  await publish('a')(usage)
  assert.equal(await messages(), 1, 'what is taken is taken once')

  await assert.rejects(publish('b', { expects: 'OTHER' })(usage), {
    message: /^JetStream refuses usage\.recorded\.v1\.0: .+ \(400\)$/,
  })
  const { config } = await manager.streams.info('USAGE')
  await manager.streams.update('USAGE', { ...config, max_msgs: 1 })
  await assert.rejects(publish('c')(usage), { message: /^JetStream refuses usage\.recorded\.v1\.0: .+ \(503\)$/ })
  await manager.streams.update('USAGE', config)
  assert.equal(await messages(), 1)

  const as = nats.admin
  await assert.rejects(publish('d', { as })('nobody.listens'), /no responders/i)
  const other = as.subscribe('somebody.answers', { callback: (_, message) => void message.respond('{}') })
  const silent = as.subscribe('somebody.hears')
  await assert.rejects(publish('e', { as })('somebody.answers'), { message: 'no stream has taken somebody.answers' })
  await assert.rejects(publish('f', { as, timeoutMs: 50 })('somebody.hears'), /timeout/i)
  other.unsubscribe()
  silent.unsubscribe()

  await publish('c')(usage)
  assert.equal(await messages(), 2, 'what was refused may be published again')
})
