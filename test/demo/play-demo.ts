import { setTimeout as delay } from 'node:timers/promises'
import type { TestScope, TestStack } from '@sluice/test-env'
import { createLogUpdate } from 'log-update'
import { readBill, readLedger } from '../faults/accounts-of-a-run.ts'
import { readBudget } from '../faults/budget-accounts.ts'
import { startSibling } from '../faults/more-gateways.ts'
import type { RunStack } from '../faults/scenario.ts'
import { type Management, signIn } from '../management.ts'
import { newProject } from '../new-project.ts'
import { type DemoClients, startDemoClients } from './demo-clients.ts'

/** How large it is played. */
export interface DemoSize {
  /** Of the budget, decimal USD. */
  limit: string
  gateways: number
  streams: number
  /** Of each stream, if nobody ends it. */
  outputTokens: number
  killAfterMs: number
  downMs: number
  longestMs: number
}

/** Whoever sees it. */
export interface DemoStage {
  scope: TestScope
  stack: TestStack & Partial<Pick<RunStack, 'billedBefore'>>
  size: DemoSize
  say: (line: string) => void
}

/** On a machine that does more than this, the killed gateway takes a while. */
const settledWithinMs = 60_000
/** Of the bar that shows the budget. */
const width = 40

type BudgetAnswer = Record<'id' | 'spent' | 'held' | 'unresolved' | 'left', string>

/**
 * Streams through several gateways on one small budget, and a gateway that is killed in the middle. What the provider has billed then
 * stands beside what the ledger and the budget say.
 * @returns whether all of it adds up
 */
export async function playDemo({ scope, stack, size, say }: DemoStage): Promise<boolean> {
  const { limit, streams } = size
  const siblings = await Promise.all(
    Array.from({ length: size.gateways - 1 }, (_, at) =>
      startSibling({ scope, say: () => {} }, stack, `demo-gateway-${at + 2}`),
    ),
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
  const clients = startDemoClients({ origins, streams, apiKey, outputTokens: size.outputTokens })
  const beganAt = performance.now()
  const states = gateways.map(() => 'running')
  let isOver = false
  void clients.done.then(() => {
    isOver = true
  })
  const killing = delay(size.killAfterMs).then(async () => {
    const [, victim] = gateways
    await victim?.kill()
    states[1] = 'killed (kill -9)'
    await delay(size.downMs)
    await victim?.start()
    await victim?.untilReady()
    states[1] = 'running again'
  })
  const view = liveView(say)
  try {
    while (!isOver && performance.now() - beganAt < size.longestMs) {
      const { body } = await admin.call<BudgetAnswer>('GET', `${path}/${id}`)
      view.show(lines(clients, body, { states, limit, seconds: Math.round((performance.now() - beganAt) / 1000) }))
      await delay(500)
    }
  } finally {
    clients.stop()
    await Promise.all([clients.done, killing])
    view.end()
  }
  return await tellAccounts({ stack, say }, admin, { projectId, path: `${path}/${id}`, id, clients, limit })
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

function lines(
  clients: DemoClients,
  budget: BudgetAnswer,
  { states, limit, seconds }: { states: readonly string[]; limit: string; seconds: number },
): string[] {
  const part = (text: string) => Math.min(width, Math.round((Number(text) / Number(limit)) * width))
  const spent = part(budget.spent)
  const held = Math.min(width - spent, part(budget.held))
  const bar = '█'.repeat(spent) + '▒'.repeat(held) + '·'.repeat(width - spent - held)
  return [
    `  ${String(seconds).padStart(2)} s   ${clients.running} streams run, about ${clients.tokens} tokens so far`,
    `  budget ${bar} $${Number(budget.spent).toFixed(4)} spent, $${Number(budget.held).toFixed(4)} held, $${Number(budget.left).toFixed(4)} left`,
    ...states.map((state, at) => `  gateway ${at + 1}: ${state}`),
    ...endsOf(clients),
  ]
}

function endsOf({ ends }: DemoClients): string[] {
  return [...ends].sort(([a], [b]) => (a < b ? -1 : 1)).map(([end, count]) => `  ${String(count).padStart(4)} × ${end}`)
}

/** On a terminal it is drawn again in its place; elsewhere it is a few lines now and then. */
function liveView(say: DemoStage['say']): { show: (lines: readonly string[]) => void; end: () => void } {
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
  limit: string
  projectId: string
  path: string
  id: string
  clients: DemoClients
}

async function tellAccounts(
  { stack, say }: Pick<DemoStage, 'stack' | 'say'>,
  admin: Management,
  played: Played,
): Promise<boolean> {
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
  say(`  budget                 $${played.limit}`)
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
