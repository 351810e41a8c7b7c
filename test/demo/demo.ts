/**
 * `npm run demo`: about a minute on this machine alone. Three gateways, forty streams and one small budget; a gateway is killed
 * in the middle. What the provider has billed then stands beside what the ledger and the budget say.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { startTestStack, type TestStack } from '@sluice/test-env'
import { createLogUpdate } from 'log-update'
import { readBill, readLedger } from '../faults/accounts-of-a-run.ts'
import { readBudget } from '../faults/budget-accounts.ts'
import { startSibling } from '../faults/more-gateways.ts'
import { type Management, signIn } from '../management.ts'
import { newProject } from '../new-project.ts'
import { type DemoClients, startDemoClients } from './demo-clients.ts'

const limit = '2.00'
const streams = 40
const killAfterMs = 12_000
const downMs = 4_000
const longestMs = 60_000
const settledWithinMs = 30_000
/** Of the bar that shows the budget. */
const width = 40

type BudgetAnswer = Record<'id' | 'spent' | 'held' | 'unresolved' | 'left', string>

const cleanUps: (() => void | Promise<void>)[] = []
const scope = { after: (clean: () => void | Promise<void>) => void cleanUps.push(clean) }
const say = (line: string) => process.stdout.write(`${line}\n`)
async function play(): Promise<boolean> {
  say('Starting PostgreSQL, NATS, ClickHouse, five services and two more gateways …')
  const stack = await startTestStack(scope)
  const siblings = await Promise.all(
    ['gateway-2', 'gateway-3'].map(name => startSibling({ scope, say: () => {} }, stack, name)),
  )
  const gateways = [stack.services.gateway, ...siblings]
  await Promise.all(gateways.map(gateway => gateway.untilReady()))
  const admin = await signIn(stack)
  const { projectId, apiKey } = await newProject(stack, admin, {})
  const path = `/accounts/projects/${projectId}/budgets`
  const wish = { name: 'demo', unit: 'usd', limit, window: 'total', mode: 'hard', hold: 'paced' }
  const { id } = (await admin.call<BudgetAnswer>('POST', path, wish)).body
  const origins = gateways.map(({ plan }) => plan.url)
  for (const origin of origins) await untilKnown(origin, apiKey)

  say(
    `${streams} streams through ${gateways.length} gateways, on one budget of $${limit}. The simulator is the provider.\n`,
  )
  const clients = startDemoClients({ origins, streams, apiKey })
  const beganAt = performance.now()
  const states = gateways.map(() => 'running')
  let isOver = false
  void clients.done.then(() => {
    isOver = true
  })
  const killing = delay(killAfterMs).then(async () => {
    const [, victim] = gateways
    await victim?.kill()
    states[1] = 'killed (kill -9)'
    await delay(downMs)
    await victim?.start()
    await victim?.untilReady()
    states[1] = 'running again'
  })
  const view = liveView()
  try {
    while (!isOver && performance.now() - beganAt < longestMs) {
      view.show(lines(clients, (await admin.call<BudgetAnswer>('GET', `${path}/${id}`)).body, states, beganAt))
      await delay(500)
    }
  } finally {
    clients.stop()
    await Promise.all([clients.done, killing])
    view.end()
  }
  return await tellAccounts(stack, admin, { projectId, path: `${path}/${id}`, id, clients })
}

/** Waits until a gateway knows the budget. */
async function untilKnown(origin: string, apiKey: string): Promise<void> {
  for (;;) {
    const answer = await fetch(`${origin}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'x' }], max_tokens: 1 }),
    })
    await answer.arrayBuffer()
    if (answer.headers.get('sluice-budget-name') === 'demo') return
    await delay(100)
  }
}

function lines(clients: DemoClients, budget: BudgetAnswer, states: readonly string[], beganAt: number): string[] {
  const part = (text: string) => Math.min(width, Math.round((Number(text) / Number(limit)) * width))
  const spent = part(budget.spent)
  const held = Math.min(width - spent, part(budget.held))
  const bar = '█'.repeat(spent) + '▒'.repeat(held) + '·'.repeat(width - spent - held)
  return [
    `  ${String(Math.round((performance.now() - beganAt) / 1000)).padStart(2)} s   ${clients.running} streams run, about ${clients.tokens} tokens so far`,
    `  budget ${bar} $${Number(budget.spent).toFixed(4)} spent, $${Number(budget.held).toFixed(4)} held, $${Number(budget.left).toFixed(4)} left`,
    ...states.map((state, at) => `  gateway ${at + 1}: ${state}`),
    ...endsOf(clients),
  ]
}

function endsOf({ ends }: DemoClients): string[] {
  return [...ends].sort(([a], [b]) => (a < b ? -1 : 1)).map(([end, count]) => `  ${String(count).padStart(4)} × ${end}`)
}

/** On a terminal it is drawn again in its place; elsewhere it is a few lines now and then. */
function liveView(): { show: (lines: readonly string[]) => void; end: () => void } {
  if (process.stdout.isTTY) {
    const update = createLogUpdate(process.stdout)
    return { show: shown => update(shown.join('\n')), end: () => update.done() }
  }
  let shownAt = Number.NEGATIVE_INFINITY
  let latest: readonly string[] = []
  return {
    show(shown) {
      latest = shown
      if (performance.now() - shownAt < 5_000) return
      shownAt = performance.now()
      say(shown.slice(0, 2).join('\n'))
    },
    end: () => say(latest.join('\n')),
  }
}

interface Played {
  projectId: string
  path: string
  id: string
  clients: DemoClients
}

async function tellAccounts(stack: TestStack, admin: Management, played: Played): Promise<boolean> {
  say('\nWaiting until every call is settled …')
  const read = async () => {
    const bill = await readBill(stack)
    const { events, total } = await readLedger(stack, played.projectId)
    return { bill, events, total, budget: await readBudget(stack, played.id) }
  }
  let found = await read()
  const isSettled = () =>
    found.bill.every(({ ended }) => ended !== 'running') &&
    found.events.length >= found.bill.length &&
    Number(found.total.costNanoUsd) === found.budget.settled &&
    found.budget.ofTheDead === 0
  for (const deadline = performance.now() + settledWithinMs; !isSettled() && performance.now() < deadline; ) {
    await delay(500)
    found = await read()
  }
  const { bill, events, total, budget } = found
  const { body } = await admin.call<BudgetAnswer>('GET', played.path)
  const billed = bill.reduce((sum, line) => sum + line.costNanoUsd, 0)
  const named = new Set(events.flatMap(({ providerRequestId }) => providerRequestId ?? []))
  const nameless = events.filter(({ providerRequestId }) => providerRequestId === undefined).length
  const lost = Math.max(0, bill.filter(({ id }) => !named.has(id)).length - nameless)
  const doubled = events.length - new Set(events.map(({ eventId }) => eventId)).size
  const usd = (nanoUsd: number) => `$${(nanoUsd / 1e9).toFixed(6)}`
  say('')
  for (const line of endsOf(played.clients)) say(line)
  say('')
  say(`  budget                 $${limit}`)
  say(`  the provider billed    ${usd(billed)}  (${bill.length} calls)`)
  say(
    `  the ledger             ${usd(Number(total.costNanoUsd))}  (${events.length} events, ${events.filter(({ estimated }) => estimated).length} of them estimated: cut, or killed with their gateway)`,
  )
  say(`  the budget's spent     ${usd(budget.settled)}`)
  say(`  held                   $${body.held}`)
  say(`  unresolved             $${body.unresolved}`)
  say(`  lost                   ${lost} calls`)
  say(`  counted twice          ${doubled} calls`)
  const isRight = lost === 0 && doubled === 0 && Number(total.costNanoUsd) === budget.settled && billed <= budget.limit
  say(
    isRight
      ? '\n  The bill is within the budget, and every call is in the ledger once.'
      : '\n  This is not as it should be.',
  )
  return isRight
}

let exitCode = 1
try {
  exitCode = (await play()) ? 0 : 1
} finally {
  for (const clean of cleanUps.reverse()) await clean()
}
process.exit(exitCode)
