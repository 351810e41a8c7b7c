import type { TestContext } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { type BillRecord, type Simulator, startSimulator } from '../src/index.ts'

/** A simulator of its own for one test, with both official clients. */
export async function startFor(t: TestContext) {
  const simulator = await startSimulator()
  t.after(() => simulator.close())
  return {
    simulator,
    openai: new OpenAI({ baseURL: `${simulator.url}/v1`, apiKey: 'sk-test', maxRetries: 0 }),
    anthropic: new Anthropic({ baseURL: simulator.url, apiKey: 'sk-ant-test', maxRetries: 0 }),
  }
}

/** The only record on the bill. */
export function onlyRecord({ bill }: Simulator): BillRecord {
  const records = bill.since()
  const [record] = records
  if (record === undefined || records.length !== 1) throw new Error(`The bill has ${records.length} records.`)
  return record
}

/** Waits for the event loop to bring about what is asked for. */
export async function eventually<T>(
  find: () => T | undefined | false | Promise<T | undefined | false>,
  withinMs = 60_000,
): Promise<T> {
  const deadline = Date.now() + withinMs
  for (;;) {
    const found = await find()
    if (found !== undefined && found !== false) return found
    if (Date.now() > deadline) throw new Error('It did not come about in time.')
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

/** A raw POST, for what the clients hide: bytes, headers, broken streams. */
export function post(simulator: Simulator, path: string, body: object, signal?: AbortSignal): Promise<Response> {
  return fetch(simulator.url + path, {
    method: 'POST',
    headers: { authorization: 'Bearer sk-test', 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  })
}

/** A chat request whose last user message carries a directive block. */
export function chat(directives: string, members: object = {}) {
  return {
    model: 'gpt-5.4-mini',
    messages: [{ role: 'user' as const, content: `Say something. [[sim ${directives}]]` }],
    ...members,
  }
}

/** A Messages request with a directive block. */
export function message(directives: string, members: object = {}) {
  return {
    model: 'claude-sonnet-4-6',
    max_tokens: 1_000,
    messages: [{ role: 'user' as const, content: `Say something. [[sim ${directives}]]` }],
    ...members,
  }
}
