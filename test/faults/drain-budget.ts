import { setTimeout as delay } from 'node:timers/promises'
import type { TestStack } from '@sluice/test-env'
import { type BudgetState, readBudget, usableOf } from './budget-accounts.ts'
import { spendingModel } from './spending-clients.ts'

export interface DrainOptions {
  stack: TestStack
  budgetId: string
  apiKey: string
  origins: readonly string[]
  /** With as much left a call must be let in. */
  leastNanoUsd: number
}

export interface Drained {
  answered: number
  /** Refusals although enough was left, in their own words. */
  phantoms: string[]
  state: BudgetState
}

const tokensACall = 32_000
const mostCalls = 2_000

/** Spends what is left, one call after the other, each at another gateway: what one of them has idle the next one needs. */
export async function drainBudget({ stack, budgetId, apiKey, origins, leastNanoUsd }: DrainOptions): Promise<Drained> {
  const phantoms: string[] = []
  let answered = 0
  for (let turn = 0; turn < mostCalls && phantoms.length < 5; turn++) {
    const refusal = await callAsClientsDo(origins[turn % origins.length] ?? '', apiKey)
    if (refusal === undefined) {
      answered++
      continue
    }
    const state = await atRest(stack, budgetId)
    if (usableOf(state) < leastNanoUsd) return { answered, phantoms, state }
    phantoms.push(`with ${usableOf(state)} nano-USD left: ${refusal}`)
  }
  return { answered, phantoms, state: await atRest(stack, budgetId) }
}

/** Undefined: answered. Clients come again, twice, where they are told that this passes, and where it is known how much is left. */
async function callAsClientsDo(origin: string, apiKey: string): Promise<string | undefined> {
  for (const pauseMs of [500, 1_000]) {
    const refusal = await callOnce(origin, apiKey)
    if (refusal === undefined || !/^503|Too many calls wait/.test(refusal)) return refusal
    await delay(pauseMs)
  }
  return callOnce(origin, apiKey)
}

/** Undefined: answered. */
async function callOnce(origin: string, apiKey: string): Promise<string | undefined> {
  const content = `Write. [[sim output_tokens=${tokensACall}]]`
  const response = await fetch(`${origin}/openai/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: spendingModel,
      messages: [{ role: 'user', content }],
      max_tokens: tokensACall,
      service_tier: 'default',
    }),
  })
  const text = await response.text()
  return response.ok ? undefined : `${response.status} ${text.slice(0, 300)}`
}

/** Its state when what has ended is settled. */
async function atRest(stack: TestStack, budgetId: string): Promise<BudgetState> {
  let state = await readBudget(stack, budgetId)
  for (;;) {
    await delay(400)
    const next = await readBudget(stack, budgetId)
    if (next.settled === state.settled && next.unresolved === state.unresolved) return next
    state = next
  }
}
