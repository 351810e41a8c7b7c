import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually, startTestStack } from '@sluice/test-env'
import { startSibling } from '../faults/more-gateways.ts'
import { type Management, signIn } from '../management.ts'
import { newProject } from '../new-project.ts'
import type { CutJob, CutTimes } from './cut-client.ts'
import { takeAllCores } from './processes.ts'
import type { SectionOptions } from './sections.ts'
import { percentile } from './statistics.ts'
import { short, type Table } from './table.ts'

const gateways = 10

interface Cast {
  admin: Management
  client: ChildProcess
  origins: string[]
  apiKey: string
  /** Path of the budget. */
  path: string
}

/** How soon a stream ends at each of ten gateways once the event is published that spends its budget. */
export async function cuts(options: SectionOptions): Promise<Table> {
  const rounds = options.quick ? 10 : 60
  // Ways that are taken for the first times are not yet compiled: in an installation that runs, somebody has been cut before.
  const untimed = options.quick ? 1 : 30
  const title = `A budget is spent: its streams end at ${gateways} gateways`
  options.say(title)
  // What is measured is a way through all of them: nothing of it is the load.
  const cleanUps: (() => void | Promise<void>)[] = [takeAllCores()]
  const scope = { after: (clean: () => void | Promise<void>) => cleanUps.push(clean) }
  try {
    const cast = await startCast(scope, options)
    const pushed: number[] = []
    const each: number[] = []
    const last: number[] = []
    for (let round = 0; round < untimed + rounds; round++) {
      const { pushedMs, endedMs } = await cutOnce(cast, round)
      if (round < untimed) continue
      pushed.push(pushedMs)
      each.push(...endedMs)
      last.push(Math.max(...endedMs))
    }
    const row = (name: string, values: number[]): string[] => {
      values.sort((a, b) => a - b)
      return [name, ...[percentile(values, 0.5), percentile(values, 0.99), values.at(-1) ?? Number.NaN].map(short)]
    }
    return {
      title,
      note: `${rounds} times, after ${untimed} that are not counted: a stream has run at each gateway for half a second, then a call is settled that spends their soft budget. From when the bus has that call's event to when a client has the end of its stream. All on the same two cores. Wanted: p99 below 50 ms.`,
      columns: ['ms', 'p50', 'p99', 'most'],
      rows: [row('the cutoff is pushed', pushed), row('each gateway', each), row('the last of them', last)],
    }
  } finally {
    for (const clean of cleanUps.reverse()) await clean()
  }
}

async function startCast(scope: Parameters<typeof startTestStack>[0], options: SectionOptions): Promise<Cast> {
  const stack = await startTestStack(scope, {
    ownPostgres: true,
    services: ['accounts', 'billing', 'budget', 'gateway'],
    env: { SLUICE_LOG_LEVEL: 'warn' },
  })
  const origins = [stack.url]
  for (let number = 2; number <= gateways; number++) {
    const sibling = await startSibling({ scope, say: options.say }, stack, `gateway-${number}`)
    await sibling.untilReady()
    origins.push(sibling.plan.url)
  }
  const admin = await signIn(stack)
  const { projectId, apiKey } = await newProject(stack, admin, {})
  const path = `/accounts/projects/${projectId}/budgets`
  const wish = { name: 'cut', unit: 'requests', limit: 1, window: 'total', mode: 'soft' }
  const { status, body } = await admin.call<{ id: string }>('POST', path, wish)
  if (status !== 201) throw new Error(`no budget: ${status} ${JSON.stringify(body)}`)
  await delay(1_000)
  if (!stack.nats) throw new Error('no NATS server of its own')
  const job = { nats: { url: stack.nats.url, ...stack.nats.users.admin }, origins, apiKey, body: streamBody }
  const client = await startClient(job)
  scope.after(() => client.disconnect())
  return { admin, client, origins, apiKey, path: `${path}/${body.id}` }
}

async function startClient(job: CutJob): Promise<ChildProcess> {
  // One that collects garbage sees what has come meanwhile late.
  const execArgv = ['--max-semi-space-size=64', '--single-threaded-gc']
  const client = fork(join(import.meta.dirname, 'cut-client.ts'), { execArgv })
  client.send(job)
  await once(client, 'message')
  return client
}

/** What opening ten streams at once takes of the machine is over by then: they run, as streams do that are cut. */
const openingMs = 500

/** Each round counts its streams, and the call that ends them. */
const requestsOfRound = gateways + 1

async function cutOnce({ admin, client, origins, apiKey, path }: Cast, round: number): Promise<CutTimes> {
  const { status } = await admin.call('PATCH', path, { limit: round * requestsOfRound + 1 })
  if (status !== 200 && round > 0) throw new Error(`the limit was not raised: ${status}`)
  client.send('open')
  await once(client, 'message')
  await delay(openingMs)
  const told = once(client, 'message')
  await call(origins[round % origins.length] ?? '', apiKey)
  const [times] = (await told) as [CutTimes]
  // Those that were cut count, too, before the next limit is set.
  await eventually(async () => {
    const { body } = await admin.call<{ spent: string }>('GET', path)
    return Number(body.spent) === (round + 1) * requestsOfRound
  })
  return times
}

const streamBody = bodyOf('output_tokens=4000 tokens_per_chunk=1 delay_ms=100', true)

function bodyOf(directives: string, stream: boolean): string {
  return JSON.stringify({
    model: 'gpt-4o-mini',
    messages: [{ role: 'user', content: `Write. [[sim ${directives}]]` }],
    stream,
  })
}

async function call(origin: string, apiKey: string): Promise<void> {
  const answer = await fetch(`${origin}/openai/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    body: bodyOf('output_tokens=5', false),
  })
  if (!answer.ok) throw new Error(`the call that spends the budget: ${answer.status} ${await answer.text()}`)
  await answer.arrayBuffer()
}
