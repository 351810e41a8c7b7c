import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { UsageRecordedData } from '@sluice/contracts'
import type { BillRecord } from '@sluice/simulator'
import { eventually, startTestStack, type TestStack } from '@sluice/test-env'
import { EventFeed } from '../event-feed.ts'
import { type Replacement, restartAsMutant } from '../faults/mutant.ts'
import type { Outcome, Scenario, ScenarioRun } from '../faults/scenario.ts'
import { type InstalledAgents, installAgents } from './install-agents.ts'

interface Size {
  /** Times that each agent does its task. */
  times: number
}

const root = join(import.meta.dirname, '..', '..')
const answer = 'The answer is in answer.txt.'

/** A program that writes a file, looks at it and says that it is done: three turns of a model. */
interface Agent {
  app: string
  /** The task in tools that it has. */
  steps: (folder: string) => object[]
  start: (agents: InstalledAgents, stack: TestStack, task: Task) => Promise<string>
}

interface Task {
  prompt: string
  /** Where it works. */
  folder: string
  /** Its home: it must find nothing of the person who runs this. */
  home: string
}

const agents: readonly Agent[] = [
  {
    app: 'codex',
    steps: () => [
      { tool: 'exec_command', args: { cmd: 'echo forty-two > answer.txt' } },
      { tool: 'exec_command', args: { cmd: 'cat answer.txt' } },
      { text: answer },
    ],
    start(programs, stack, { prompt, folder, home }) {
      writeFileSync(
        join(home, 'config.toml'),
        `model = "gpt-5.4"
model_provider = "sluice"
[model_providers.sluice]
name = "sluice"
base_url = "${stack.openaiBaseUrl}"
wire_api = "responses"
env_key = "OPENAI_API_KEY"
supports_websockets = false
`,
      )
      const args = ['exec', '--skip-git-repo-check', '--dangerously-bypass-approvals-and-sandbox', prompt]
      return runProgram(programs.codex, args, folder, { HOME: home, CODEX_HOME: home, OPENAI_API_KEY: stack.apiKey })
    },
  },
  {
    app: 'claude-code',
    steps: folder => [
      { tool: 'Bash', args: { command: 'echo forty-two > answer.txt', description: 'Write the answer' } },
      { tool: 'Read', args: { file_path: join(folder, 'answer.txt') } },
      { text: answer },
    ],
    start(programs, stack, { prompt, folder, home }) {
      const args = ['-p', prompt, '--allowedTools', 'Bash', 'Read', '--model', 'claude-sonnet-4-6']
      return runProgram(programs.claude, args, folder, {
        HOME: home,
        ANTHROPIC_BASE_URL: stack.anthropicBaseUrl,
        ANTHROPIC_API_KEY: stack.apiKey,
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
        DISABLE_AUTOUPDATER: '1',
      })
    },
  },
]

/** Runs a program without a terminal; what it said, even where it failed. */
function runProgram(file: string, args: string[], folder: string, env: Record<string, string>): Promise<string> {
  return new Promise(resolve => {
    const options = { cwd: folder, timeout: 120_000, env: { PATH: process.env.PATH, ...env } }
    const child = execFile(file, args, options, (error, stdout, stderr) =>
      resolve(error === null ? stdout : `${stdout}\n${error.message}\n${stderr}`),
    )
    child.stdin?.end()
  })
}

interface Done {
  app: string
  isDone: boolean
  durationMs: number
}

async function run(at: ScenarioRun, size: Size, mutant: readonly Replacement[] = []): Promise<Outcome> {
  at.say('installing the agents')
  const programs = await installAgents(root)
  const stack = await startTestStack(at.scope)
  if (mutant.length > 0) await restartAsMutant(stack.services.gateway, mutant)
  const feed = new EventFeed(stack)
  const done: Done[] = []
  for (let time = 1; time <= size.times; time++) {
    for (const agent of agents) {
      const [folder, home] = ['work', 'home'].map(name => join(stack.home, `${agent.app}-${time}`, name)) as [
        string,
        string,
      ]
      for (const made of [folder, home]) mkdirSync(made, { recursive: true })
      const steps = JSON.stringify(JSON.stringify(agent.steps(folder)))
      const begunAt = performance.now()
      const said = await agent.start(programs, stack, { prompt: `Do the task. [[sim steps=${steps}]]`, folder, home })
      writeFileSync(join(at.logs, `${agent.app}-${time}.log`), said)
      const file = join(folder, 'answer.txt')
      const isWritten = existsSync(file) && readFileSync(file, 'utf8') === 'forty-two\n'
      done.push({ app: agent.app, isDone: isWritten && said.includes(answer), durationMs: performance.now() - begunAt })
    }
  }
  const bill = ((await (await fetch(`${stack.simulatorUrl}/simulator/bill`)).json()) as { records: BillRecord[] })
    .records
  await eventually(() => feed.all.length >= bill.length).catch(() => false)
  return judge(done, bill, feed.all)
}

function judge(done: readonly Done[], bill: readonly BillRecord[], events: readonly UsageRecordedData[]): Outcome {
  const billed = new Map(bill.map(record => [record.bill_id, record]))
  const odd = events.filter(event => billed.get(event.provider_request_id ?? '')?.cost_nano_usd !== event.cost_nano_usd)
  const missed = bill.filter(record => !events.some(event => event.provider_request_id === record.bill_id))
  const unfinished = done.filter(task => !task.isDone)
  const unnamed = events.filter(event => !agents.some(agent => agent.app === event.claimed.app))
  const none = (promise: string, found: readonly unknown[]) => ({
    promise,
    kept: found.length === 0,
    found: String(found.length),
  })
  return {
    figures: {
      'tasks finished': done.length - unfinished.length,
      ...Object.fromEntries(
        agents.map(({ app }) => {
          const times = done.filter(task => task.app === app).map(task => Math.round(task.durationMs))
          const turns = events.filter(event => event.claimed.app === app).length
          return [app, `${turns} turns of a model, ${times.join(' and ')} ms`]
        }),
      ),
      'cost, nano-USD': String(events.reduce((sum, event) => sum + BigInt(event.cost_nano_usd), 0n)),
    },
    kept: [
      none('tasks not finished', unfinished),
      { promise: 'at least three turns each', kept: bill.length >= done.length * 3, found: String(bill.length) },
      none('events with another cost than the bill', odd),
      none('lines of the bill without an event', missed),
      none('events that do not name their app', unnamed),
    ],
  }
}

/** What an agent writes into the cache is taken for free. */
const forgetsCacheWrites: Replacement[] = [
  {
    file: 'services/gateway/src/settle.ts',
    from: 'const rating = rateCall(call, usage)',
    to: 'usage.quantities.in_cache_write_5m = 0; const rating = rateCall(call, usage)',
  },
]

export const realAgents: Scenario<Size> = {
  name: 'agents',
  promise: 'Codex and Claude Code, unchanged, finish a task, and each of their turns is settled to the provider’s bill',
  full: { times: 3 },
  small: { times: 1 },
  run,
  mutant: {
    name: 'cache writes are free',
    size: { times: 1 },
    run: (at, size) => run(at, size, forgetsCacheWrites),
  },
}
