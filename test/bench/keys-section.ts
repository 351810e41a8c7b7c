import { randomBytes, randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { openBucket } from '@sluice/bus'
import { Key } from '@sluice/contracts'
import { busOf, startTestStack, type TestStack } from '@sluice/test-env'
import { type Company, loadCompany } from '../load-company.ts'
import { type Management, signIn } from '../management.ts'
import { residentBytes, until } from './processes.ts'
import type { SectionOptions } from './sections.ts'
import { median, percentile } from './statistics.ts'
import { short, type Table } from './table.ts'

/**
 * What an organisation costs a gateway that holds it in memory: resident bytes a key, how long a start takes, and how long
 * it takes from a change by REST until calls go by it.
 */
export async function keys(options: SectionOptions): Promise<Table> {
  const size = options.quick ? { members: 100, teams: 10, keys: 250 } : { members: 2_000, teams: 60, keys: 5_000 }
  const many = options.quick ? 2_000 : 100_000
  const tries = options.quick ? 20 : 200
  const title = `An organisation in memory: ${size.members} members, ${size.teams} teams, ${size.keys} keys, then ${many} keys`
  options.say(title)
  const cleanUps: (() => void | Promise<void>)[] = []
  const stack = await startTestStack(
    { after: clean => cleanUps.push(clean) },
    { ownPostgres: true, services: ['accounts', 'billing', 'gateway'], env: { SLUICE_LOG_LEVEL: 'warn' } },
  )
  try {
    const admin = await signIn(stack)
    const empty = await startAnew(stack)
    const startedAt = performance.now()
    const company = await loadCompany(admin, size)
    const loadedS = (performance.now() - startedAt) / 1000
    const requests = 1 + size.teams + 3 * size.members + size.keys
    const known = await startAnew(stack)
    const rows = [
      row('none', 1, empty, undefined, await timeToEffect(stack, admin, tries)),
      row('by REST', size.keys, known, empty, await timeToEffect(stack, admin, tries)),
    ]
    await addKeys(stack, company, many - size.keys)
    rows.push(row('in the bucket', many, await startAnew(stack), empty, await timeToEffect(stack, admin, tries)))
    return {
      title,
      note: `Loaded by ${requests} REST requests in ${short(loadedS)} s (${short(requests / loadedS)} a second, 8 at once). Memory is that of a gateway started anew, 3 s at rest. A change takes effect when a key that has just been revoked is refused, ${tries} times; the longest block is that of the gateway's event loop meanwhile.`,
      columns: [
        'keys are',
        'keys',
        'RSS MB',
        'bytes/key',
        'start s',
        'revoked, then refused ms',
        'p99',
        'worst',
        'longest block ms',
      ],
      rows,
    }
  } finally {
    for (const clean of cleanUps.reverse()) await clean()
  }
}

interface Effect {
  /** Sorted. */
  times: readonly number[]
  longestBlockMs: number
}

interface Start {
  bytes: number
  seconds: number
}

function row(how: string, count: number, start: Start, empty: Start | undefined, effect: Effect): string[] {
  return [
    how,
    String(count),
    short(start.bytes / 1e6),
    empty ? short(Math.max(0, start.bytes - empty.bytes) / count) : '–',
    short(start.seconds),
    short(median(effect.times)),
    short(percentile(effect.times, 0.99)),
    short(Math.max(...effect.times)),
    short(effect.longestBlockMs),
  ]
}

async function startAnew({ services: { gateway } }: TestStack): Promise<Start> {
  await gateway.stop()
  const startedAt = performance.now()
  await gateway.start()
  await gateway.untilReady()
  const seconds = (performance.now() - startedAt) / 1000
  await delay(3_000)
  return { bytes: residentBytes(gateway.pid ?? 0), seconds }
}

/** From the answer of a revocation until its key is refused, milliseconds; the answer may come behind the effect: then 0. */
async function timeToEffect(stack: TestStack, admin: Management, tries: number): Promise<Effect> {
  const times: number[] = []
  // What is read is the longest since it was read last.
  await longestBlockMs(stack)
  for (let n = 0; n < tries; n++) {
    const { body: key } = await admin.call<{ id: string; value: string }>('POST', `${admin.project}/api-keys`, {
      name: 'short-lived',
    })
    const status = async (): Promise<number> => {
      const answer = await fetch(`${stack.url}/v1/models`, { headers: { 'x-api-key': key.value } })
      await answer.arrayBuffer()
      return answer.status
    }
    await until('a new key', async () => (await status()) === 200)
    const sentAt = performance.now()
    await admin.call('DELETE', `${admin.project}/api-keys/${key.id}`)
    while ((await status()) !== 401) if (performance.now() - sentAt > 10_000) throw new Error('a revoked key works on')
    times.push(performance.now() - sentAt)
  }
  return { times: times.sort((a, b) => a - b), longestBlockMs: await longestBlockMs(stack) }
}

async function longestBlockMs({ services: { gateway } }: TestStack): Promise<number> {
  const metrics = await fetch(`${gateway.plan.readyUrl.replace(/health\/ready$/, 'metrics')}`)
  const found = /^nodejs_eventloop_lag_max_seconds (\S+)/m.exec(await metrics.text())
  return Number(found?.[1] ?? Number.NaN) * 1_000
}

/** More keys like the company's, as accounts would announce them. */
async function addKeys(stack: TestStack, company: Company, count: number): Promise<void> {
  const bus = busOf(stack.natsAdmin)
  const bucket = await openBucket(bus, 'keys', Key)
  const samples = await Promise.all(company.keys.slice(0, 50).map(({ id }) => bucket.get(id)))
  const writing = new Set<Promise<void>>()
  for (let n = 0; n < count; n++) {
    const like = samples[n % samples.length]
    if (!like) throw new Error('a key of the company is not in the bucket')
    const secrets = like.secrets.map(secret => ({ ...secret, hash: randomBytes(32).toString('hex') }))
    const key = { ...like, key_id: randomUUID(), secrets }
    const put = bucket.put(key.key_id, key).finally(() => writing.delete(put))
    writing.add(put)
    if (writing.size >= 256) await Promise.race(writing)
  }
  await Promise.all(writing)
}
