import { setTimeout as delay } from 'node:timers/promises'
import { eventually } from '@sluice/test-env'
import { residentBytes } from '../bench/processes.ts'
import { median, percentile } from '../bench/statistics.ts'
import { type Company, type CompanySize, loadCompany } from '../load-company.ts'
import { type Management, signIn } from '../management.ts'
import { startSibling } from './more-gateways.ts'
import { type Replacement, restartAsMutant } from './mutant.ts'
import type { Outcome, RunStack, Scenario, ScenarioRun } from './scenario.ts'

interface Size extends CompanySize {
  /** Keys that are made and revoked afterwards. */
  changes: number
  /** From the request until every gateway goes by it. */
  boundMs: number
}

const withoutMostKeys: Replacement[] = [
  {
    file: 'services/gateway/src/views/keys-view.ts',
    from: 'if (key?.key_id === keyId && key.revoked_at_ms === undefined) {',
    to: 'if (key?.key_id === keyId && key.revoked_at_ms === undefined && byId.size < 20) {',
  },
]

/** A company is loaded by REST; a gateway that was there and one that starts afterwards know all of it. */
async function run(at: ScenarioRun, size: Size, mutant: readonly Replacement[] = []): Promise<Outcome> {
  const stack = await at.stack({ services: ['accounts', 'billing', 'budget', 'gateway'] })
  const { gateway } = stack.services
  if (mutant.length > 0) await restartAsMutant(gateway, mutant)
  const admin = await signIn(stack)
  const empty = await startedAnew(gateway)
  const beganAt = performance.now()
  const company = await loadCompany(admin, size, at.say)
  const loadedS = (performance.now() - beganAt) / 1_000
  const requests = 1 + size.teams + 3 * size.members + size.keys

  const unknownAtOnce = await unknownKeys(stack.url, company)
  const sibling = await startSibling(at, stack, 'second')
  await sibling.untilReady()
  const origins = [stack.url, sibling.plan.url ?? '']
  const unknownAtSibling = await unknownKeys(origins[1] ?? '', company)
  const effects = await timesToEffect(admin, stack, origins, size.changes)
  await sibling.stop()
  const full = await startedAnew(gateway)
  const payers = await payersOf(stack, company)
  const slowest = Math.max(...effects)
  const told = (unknown: number) => `${unknown} of ${company.keys.length} are not`
  return {
    figures: {
      'members, teams, keys': `${size.members}, ${size.teams}, ${size.keys}`,
      'loaded by REST': `${requests} requests in ${loadedS.toFixed(1)} s, ${Math.round(requests / loadedS)} a second`,
      'start of a gateway with all of it, seconds': full.seconds.toFixed(2),
      'resident bytes a key': Math.round(Math.max(0, full.bytes - empty.bytes) / company.keys.length),
      [`ms from the request to revoke until both gateways refused: median, p99, most of ${effects.length}`]: [
        median(effects),
        percentile(effects, 0.99),
        slowest,
      ]
        .map(Math.round)
        .join(', '),
    },
    kept: [
      { promise: 'every key is known when it is made', kept: unknownAtOnce === 0, found: told(unknownAtOnce) },
      { promise: 'every key is known after a start', kept: unknownAtSibling === 0, found: told(unknownAtSibling) },
      {
        promise: `a change is in force everywhere within ${size.boundMs} ms`,
        kept: slowest <= size.boundMs,
        found: `${Math.round(slowest)} ms at most`,
      },
      { promise: "a key's team pays for its calls", kept: payers === '', found: payers || 'each does' },
    ],
  }
}

/** What is not in force by then is not in force at all. */
const givenUpMs = 10_000

/** What a gateway weighs at rest, and how long its start takes. */
async function startedAnew(gateway: RunStack['services']['gateway']): Promise<{ bytes: number; seconds: number }> {
  await gateway.stop()
  const startedAt = performance.now()
  await gateway.start()
  await gateway.untilReady()
  const seconds = (performance.now() - startedAt) / 1_000
  await delay(2_000)
  return { bytes: residentBytes(gateway.pid ?? 0), seconds }
}

async function unknownKeys(origin: string, { keys }: Company): Promise<number> {
  let unknown = 0
  for (let from = 0; from < keys.length; from += 32)
    for (const status of await Promise.all(keys.slice(from, from + 32).map(({ value }) => statusOf(origin, value))))
      if (status !== 200) unknown++
  return unknown
}

async function statusOf(origin: string, apiKey: string): Promise<number> {
  const answer = await fetch(`${origin}/v1/models`, { headers: { 'x-api-key': apiKey } })
  await answer.arrayBuffer()
  return answer.status
}

/** From the request that revokes a key until every gateway refuses it, sorted. */
async function timesToEffect(
  admin: Management,
  { projectId }: RunStack,
  origins: readonly string[],
  changes: number,
): Promise<number[]> {
  const path = `/accounts/projects/${projectId}/api-keys`
  const times: number[] = []
  for (let n = 0; n < changes; n++) {
    const { body: key } = await admin.call<{ id: string; value: string }>('POST', path, { name: 'short-lived' })
    const until = (status: number) =>
      Promise.all(
        origins.map(origin =>
          eventually(async () => (await statusOf(origin, key.value)) === status, {
            intervalMs: 2,
            timeoutMs: givenUpMs,
          }),
        ),
      )
    try {
      await until(200)
      const sentAt = performance.now()
      await Promise.all([admin.call('DELETE', `${path}/${key.id}`), until(401)])
      times.push(performance.now() - sentAt)
    } catch {
      times.push(givenUpMs)
    }
  }
  return times.sort((a, b) => a - b)
}

/** Calls with one key of each team. @returns whose calls another team paid for; empty: none */
async function payersOf({ url, natsAdmin }: RunStack, { keys }: Company): Promise<string> {
  const oneOfEach = [...new Map(keys.map(key => [key.teamId, key])).values()]
  const payers = new Map<string, string>()
  const subscription = natsAdmin.subscribe('usage.recorded.v1.*', {
    callback: (_error, message) => {
      for (const line of message.string().split('\n')) {
        const { call_id: callId, identity } = JSON.parse(line) as { call_id: string; identity: { team_id: string } }
        payers.set(callId, identity.team_id)
      }
    },
  })
  try {
    const wrong = await Promise.all(
      oneOfEach.map(async ({ value, teamId }) => {
        const answer = await fetch(`${url}/v1/chat/completions`, {
          method: 'POST',
          headers: { authorization: `Bearer ${value}`, 'content-type': 'application/json' },
          body: JSON.stringify({ model: 'gpt-5.4-mini', max_tokens: 1, messages: [{ role: 'user', content: 'x' }] }),
        })
        await answer.arrayBuffer()
        const callId = answer.headers.get('sluice-call-id') ?? ''
        const payer = await eventually(() => payers.get(callId), { timeoutMs: givenUpMs }).catch(
          () => `nobody (${answer.status})`,
        )
        return payer === teamId ? [] : [`${teamId}: ${payer}`]
      }),
    )
    return wrong.flat().slice(0, 5).join(', ')
  } finally {
    subscription.unsubscribe()
  }
}

export const companyLoaded: Scenario<Size> = {
  name: 'company',
  promise: 'a company that is loaded by REST is known whole to every gateway, and its changes at once',
  full: { members: 2_000, teams: 60, keys: 5_000, changes: 200, boundMs: 1_000 },
  small: { members: 40, teams: 6, keys: 100, changes: 10, boundMs: 5_000 },
  run,
  mutant: {
    name: 'a gateway that keeps no more than twenty keys',
    size: { members: 20, teams: 4, keys: 50, changes: 1, boundMs: 5_000 },
    run: (at, size) => run(at, size, withoutMostKeys),
  },
}
