import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { eventually, type TestStack } from '@sluice/test-env'
import { Agent } from 'undici'
import { readLedger } from './accounts-of-a-run.ts'
import { type Replacement, restartAsMutant } from './mutant.ts'
import type { Outcome, Scenario, ScenarioRun } from './scenario.ts'

interface Size {
  silenceMs: number
}

interface Thought {
  call: string
  silentForMs: number
  status: number
  bytes: number
  /** What broke it. */
  error: string | undefined
}

/** Providers are given up after a second without a byte, as HTTP clients do by themselves after some minutes. */
const impatient: Replacement[] = [
  { file: 'services/gateway/src/forward.ts', from: 'idleTimeoutMs: deps.timeouts.idleMs', to: 'idleTimeoutMs: 1_000' },
]

/** Calls whose provider thinks for a long time before saying something, and in the middle of it. */
async function run(at: ScenarioRun, size: Size, mutant: readonly Replacement[] = []): Promise<Outcome> {
  const stack = await at.stack({ services: ['accounts', 'billing', 'budget', 'gateway'] })
  if (mutant.length > 0) await restartAsMutant(stack.services.gateway, mutant)
  const { silenceMs } = size
  const thoughts = await Promise.all([
    think(stack, 'stream, before its first token', true, `first_delay_ms=${silenceMs}`, silenceMs),
    think(stack, 'stream, in its middle', true, `fault=silence silence_ms=${silenceMs} at=5`, silenceMs),
    think(stack, 'plain answer', false, `first_delay_ms=${silenceMs}`, silenceMs),
  ])
  writeFileSync(join(at.logs, 'thoughts.json'), JSON.stringify(thoughts, null, 2))
  const broken = thoughts.filter(thought => thought.status !== 200 || thought.error !== undefined)
  const { events } = await eventually(
    async () => {
      const ledger = await readLedger(stack, stack.projectId)
      return ledger.events.length >= thoughts.length && ledger
    },
    { message: `${thoughts.length} events` },
  )
  const completed = events.filter(event => event.status === 'completed')
  return {
    figures: { 'silent for, s': silenceMs / 1000, calls: thoughts.length },
    kept: [
      {
        promise: 'calls broken by their provider’s silence',
        kept: broken.length === 0,
        found: `${broken.length}${broken.map(each => ` (${each.call}: ${each.status} ${each.error ?? ''})`).join('')}`,
      },
      {
        promise: 'calls that are on record as completed, measured',
        kept: completed.length === thoughts.length && completed.every(event => !event.estimated),
        found: `${completed.length} of ${thoughts.length}`,
      },
    ],
  }
}

async function think(
  stack: TestStack,
  call: string,
  streamed: boolean,
  directive: string,
  silentForMs: number,
): Promise<Thought> {
  const thought: Thought = { call, silentForMs, status: 0, bytes: 0, error: undefined }
  // The client is as patient as it must be: its own timeouts are not what is looked at.
  const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 })
  try {
    const answer = await dispatcher.request({
      origin: stack.url,
      method: 'POST',
      path: '/openai/v1/chat/completions',
      headers: { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'gpt-4o-mini',
        stream: streamed,
        messages: [{ role: 'user', content: `${call} [[sim output_tokens=20 ${directive}]]` }],
      }),
    })
    thought.status = answer.statusCode
    let text = ''
    for await (const chunk of answer.body) text += String(chunk)
    thought.bytes = text.length
    if (streamed && /^data: .*"error":/m.test(text)) thought.error = 'error event'
    else if (streamed && !text.endsWith('data: [DONE]\n\n')) thought.error = 'no end'
  } catch (error) {
    thought.error = error instanceof Error ? error.message : String(error)
  } finally {
    await dispatcher.close()
  }
  return thought
}

export const longThink: Scenario<Size> = {
  name: 'long-think',
  promise: 'A call whose provider is silent for nine minutes goes on where it stopped',
  full: { silenceMs: 9 * 60_000 },
  small: { silenceMs: 3_000 },
  run,
  mutant: {
    name: 'a second of silence is too long',
    size: { silenceMs: 3_000 },
    run: (at, size) => run(at, size, impatient),
  },
}
