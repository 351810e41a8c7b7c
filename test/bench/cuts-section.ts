import { setTimeout as delay } from 'node:timers/promises'
import { BudgetCutoff } from '@sluice/contracts'
import { eventually, startTestStack, type TestStack } from '@sluice/test-env'
import { startSibling } from '../faults/more-gateways.ts'
import { type Management, signIn } from '../management.ts'
import { newProject } from '../new-project.ts'
import { takeAllCores } from './processes.ts'
import type { SectionOptions } from './sections.ts'
import { percentile } from './statistics.ts'
import { short, type Table } from './table.ts'

const gateways = 10

interface Cast {
  stack: TestStack
  admin: Management
  origins: string[]
  apiKey: string
  /** Path of the budget. */
  path: string
}

/** How soon a stream ends at each of ten gateways once the event is published that spends its budget. */
export async function cuts(options: SectionOptions): Promise<Table> {
  const rounds = options.quick ? 10 : 60
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
    for (let round = 0; round <= rounds; round++) {
      const { pushedMs, endedMs } = await cutOnce(cast, round)
      // The first finds code that nobody has run.
      if (round === 0) continue
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
      note: `${rounds} times: a stream runs at each gateway, then a call is settled that spends their soft budget. From when the bus has that call's event to when a client has the end of its stream. All on the same two cores. Wanted: p99 below 50 ms.`,
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
  return { stack, admin, origins, apiKey, path: `${path}/${body.id}` }
}

/** Each round counts its streams, and the call that ends them. */
const requestsOfRound = gateways + 1

/** From when the bus has the event. */
interface CutTimes {
  pushedMs: number
  endedMs: number[]
}

async function cutOnce({ stack, admin, origins, apiKey, path }: Cast, round: number): Promise<CutTimes> {
  const { status } = await admin.call('PATCH', path, { limit: round * requestsOfRound + 1 })
  if (status !== 200 && round > 0) throw new Error(`the limit was not raised: ${status}`)
  const streams = await Promise.all(origins.map(origin => eventually(() => openStream(origin, apiKey))))
  const ends = streams.map(async stream => {
    for await (const _ of stream) {
      // Only its end is looked at.
    }
    return performance.now()
  })
  let publishedAt = Number.NaN
  const heard = stack.natsAdmin.subscribe('usage.recorded.v1.*', {
    max: 1,
    callback: () => {
      publishedAt = performance.now()
    },
  })
  let pushedAt = Number.NaN
  const told = stack.natsAdmin.subscribe(BudgetCutoff.subject(), {
    max: 1,
    callback: () => {
      pushedAt = performance.now()
    },
  })
  await stack.natsAdmin.flush()
  await call(origins[round % origins.length] ?? '', apiKey, 'output_tokens=5', false)
  const endedAt = await Promise.all(ends)
  for (const subscription of [heard, told]) subscription.unsubscribe()
  // Those that were cut count, too, before the next limit is set.
  await eventually(async () => {
    const { body } = await admin.call<{ spent: string }>('GET', path)
    return Number(body.spent) === (round + 1) * requestsOfRound
  })
  return { pushedMs: pushedAt - publishedAt, endedMs: endedAt.map(at => at - publishedAt) }
}

function call(origin: string, apiKey: string, directives: string, stream: boolean): Promise<Response> {
  return fetch(`${origin}/openai/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'gpt-4o-mini',
      messages: [{ role: 'user', content: `Write. [[sim ${directives}]]` }],
      stream,
    }),
  })
}

/** Undefined: this gateway has not heard yet that there is money again. */
async function openStream(origin: string, apiKey: string): Promise<AsyncIterable<Uint8Array> | undefined> {
  const answer = await call(origin, apiKey, 'output_tokens=4000 tokens_per_chunk=1 delay_ms=100', true)
  if (answer.ok && answer.body) return answer.body
  await answer.arrayBuffer()
  return undefined
}
