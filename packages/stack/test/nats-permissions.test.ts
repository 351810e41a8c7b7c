import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { Kvm } from '@nats-io/kv'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import {
  type BucketName,
  buckets,
  consumers,
  type ServiceName,
  type StreamDefinition,
  serviceNames,
  streams,
  subjectPermissions,
} from '@sluice/contracts'
import { bucketReaders, inboxPrefix } from '../src/nats-permissions.ts'
import { provisionBus } from '../src/provision-bus.ts'
import { type RunningNats, startNats } from '../src/start-nats.ts'

const folder = mkdtempSync(join(tmpdir(), 'sluice-permissions-'))
let nats: RunningNats
const as = {} as Record<ServiceName | 'admin', NatsConnection>

before(async () => {
  nats = await startNats({ dataDir: folder, durable: false })
  for (const user of [...serviceNames, 'admin'] as const)
    as[user] = await connect({
      servers: nats.url,
      ...nats.users[user],
      inboxPrefix: inboxPrefix(user),
      timeout: 1_000,
    })
  await provisionBus(as.admin)
})

after(async () => {
  for (const connection of Object.values(as)) await connection.close()
  await nats.stop()
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
})

const isDenied = /permissions violation/i

/** Sends a request and answers with what the server says of it. */
async function attempt(work: () => Promise<unknown>): Promise<string> {
  try {
    await work()
    return 'done'
  } catch (error) {
    return `${(error as Error).message} ${((error as Error).cause as Error | undefined)?.message ?? ''}`
  }
}

test('provisioning again changes nothing', async () => {
  await provisionBus(as.admin)
})

test('a service writes its own buckets and no other one', async () => {
  for (const [bucket, { writer }] of Object.entries(buckets)) {
    for (const service of serviceNames) {
      const put = await attempt(() => jetstream(as[service]).publish(`$KV.${bucket}.probe`, 'x'))
      if (service === writer) assert.equal(put, 'done', `${service} writes ${bucket}`)
      else assert.match(put, isDenied, `${service} must not write ${bucket}`)
    }
  }
})

test('a service follows the buckets it reads and no other one', async () => {
  for (const [bucket, { writer }] of Object.entries(buckets) as [BucketName, { writer: ServiceName }][]) {
    for (const service of serviceNames) {
      const may = writer === service || bucketReaders[bucket].includes(service)
      const followed = await attempt(async () => {
        const kv = await new Kvm(as[service]).open(bucket)
        assert.equal((await kv.get('probe'))?.string(), 'x')
        await kv.status()
        const watch = await kv.watch()
        for await (const entry of watch) {
          assert.equal(entry.string(), 'x')
          break
        }
        watch.stop()
      })
      if (may) assert.equal(followed, 'done', `${service} follows ${bucket}`)
      else assert.notEqual(followed, 'done', `${service} must not follow ${bucket}`)
    }
  }
})

test('a service publishes on its own subjects and on no other one', async () => {
  const concrete = (subject: string) => subject.replaceAll('*', '0')
  for (const owner of serviceNames) {
    for (const subject of subjectPermissions[owner].publish.map(concrete)) {
      for (const service of serviceNames) {
        if (service !== owner && subjectPermissions[service].publish.map(concrete).includes(subject)) continue
        const sent = await attempt(() => as[service].request(subject, '{}', { timeout: 500 }))
        // A heartbeat is stored nowhere, so nobody answers it.
        if (service === owner) assert.doesNotMatch(sent, isDenied, `${service} publishes ${subject}`)
        else assert.match(sent, isDenied, `${service} must not publish ${subject}`)
      }
    }
  }
})

test("a service consumes its own durable consumers, and can neither read nor change another one's", async () => {
  for (const [name, { service: owner, stream }] of Object.entries(consumers)) {
    for (const service of serviceNames) {
      if (service !== owner) {
        const next = () => as[service].request(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${name}`, '{"batch":1}')
        assert.match(await attempt(next), isDenied, `${service} must not consume ${name}`)
      } else {
        const consumer = await jetstream(as[service]).consumers.get(stream, name)
        const message = await consumer.next({ expires: 1_000 })
        assert.ok(message, `${name} has had one of what was published above`)
        assert.equal(await message.ackAck({ timeout: 1_000 }), true)
      }
      for (const change of ['CREATE', 'DELETE'])
        assert.match(
          await attempt(() => as[service].request(`$JS.API.CONSUMER.${change}.${stream}.${name}`, '{}')),
          isDenied,
          `${service} must not ${change} ${name}`,
        )
      // Without the name in the subject it must not pass in the request either.
      const before = (await (await jetstreamManager(as.admin)).consumers.info(stream, name)).config
      const config = { name, durable_name: name, ack_policy: 'explicit', description: 'taken over' }
      await attempt(() =>
        as[service].request(`$JS.API.CONSUMER.CREATE.${stream}`, JSON.stringify({ stream_name: stream, config })),
      )
      const { durable_name: _, ...nameOnly } = config
      await attempt(() =>
        as[service].request(
          `$JS.API.CONSUMER.CREATE.${stream}`,
          JSON.stringify({ stream_name: stream, config: nameOnly }),
        ),
      )
      assert.deepEqual((await (await jetstreamManager(as.admin)).consumers.info(stream, name)).config, before)
    }
  }
})

test('a service reads its stream again with a consumer that does not outlive it', async () => {
  const consumer = await jetstream(as.billing).consumers.get('USAGE', {
    name_prefix: 'billing-again',
    filter_subjects: 'usage.recorded.v1.*',
  })
  const message = await consumer.next({ expires: 1_000 })
  assert.equal(message?.subject, 'usage.recorded.v1.0')
})

test('no service makes or deletes a stream, and only the one that is named empties it', async () => {
  for (const service of serviceNames) {
    assert.match(await attempt(() => as[service].request('$JS.API.STREAM.CREATE.OTHER', '{}')), isDenied)
    assert.match(await attempt(() => as[service].request('$JS.API.STREAM.DELETE.USAGE', '')), isDenied)
    for (const [stream, { purgedBy }] of Object.entries<StreamDefinition>(streams))
      if (purgedBy !== service)
        assert.match(await attempt(() => as[service].request(`$JS.API.STREAM.PURGE.${stream}`, '')), isDenied)
  }
  const manager = await jetstreamManager(as.admin)
  assert.equal((await manager.streams.info('USAGE')).config.name, 'USAGE')
})

test("no service listens to another one's answers or to everything", async () => {
  for (const service of serviceNames) {
    const others = `${inboxPrefix(service === 'gateway' ? 'accounts' : 'gateway')}.>`
    // The last two are records: what services act on stands in the buckets.
    for (const subject of ['>', others, '_INBOX.>', 'key.revoked.v1', 'project.changed.v1']) {
      const denied = new Promise<Error | undefined>(resolve => {
        as[service].subscribe(subject, { callback: error => resolve(error ?? undefined) })
      })
      assert.match(String((await denied)?.message), isDenied, `${service} ${subject}`)
    }
  }
})
