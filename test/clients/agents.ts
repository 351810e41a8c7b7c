import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CallRefusedData, UsageRecordedData } from '@sluice/contracts'
import type { BillRecord } from '@sluice/simulator'
import { eventually, startTestStack, type TestStack } from '@sluice/test-env'
import { EventFeed, RefusalFeed } from '../event-feed.ts'

import { type Replacement, restartAsMutant } from '../faults/mutant.ts'
import type { Outcome, Scenario, ScenarioRun } from '../faults/scenario.ts'
import { signIn } from '../management.ts'
import { type InstalledAgents, installAgents } from './install-agents.ts'

interface Size {
  /** Times that each agent does its task. */
  times: number
}

const root = join(import.meta.dirname, '..', '..')
const answer = 'The answer is in answer.txt.'

/** A program that writes a file, looks at it and says that it is done: three turns of a model. */
interface Agent {
  name: string
  /** As events name it. */
  app: string
  /** The task in tools that it has. */
  steps: (folder: string) => object[]
  /** One of its steps is done by another one, which it starts for that and which has an id of its own. */
  hasHelper?: boolean
  start: (agents: InstalledAgents, stack: TestStack, task: Task) => Promise<string>
}

interface Task {
  prompt: string
  /** Where it works. */
  folder: string
  /** Its home: it must find nothing of the person who runs this. */
  home: string
}

const codex = (name: string, overSockets: boolean): Agent => ({
  name,
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
supports_websockets = ${overSockets}
`,
    )
    const args = ['exec', '--skip-git-repo-check', '--dangerously-bypass-approvals-and-sandbox', prompt]
    return runProgram(programs.codex, args, folder, { HOME: home, CODEX_HOME: home, OPENAI_API_KEY: stack.apiKey })
  },
})

const helper = { description: 'Look at the answer', subagent_type: 'general-purpose', run_in_background: false }
const readAnswer = (folder: string) => ({ tool: 'Read', args: { file_path: join(folder, 'answer.txt') } })

/** A prompt behind which the simulator says these steps. What is quoted in them may be such a prompt itself. */
function promptOf(steps: readonly object[]): string {
  const text = JSON.stringify(steps).replaceAll('[[', '\\u005b[').replaceAll(']]', ']\\u005d')
  return `Do the task. [[sim steps=${JSON.stringify(text)}]]`
}

const agents: readonly Agent[] = [
  codex('codex', false),
  codex('codex over WebSocket', true),
  {
    name: 'claude-code',
    app: 'claude-code',
    steps: folder => [
      { tool: 'Bash', args: { command: 'echo forty-two > answer.txt', description: 'Write the answer' } },
      { tool: 'Agent', args: { ...helper, prompt: promptOf([readAnswer(folder), { text: 'It is forty-two.' }]) } },
      readAnswer(folder),
      { text: answer },
    ],
    hasHelper: true,
    start(programs, stack, { prompt, folder, home }) {
      const args = ['-p', prompt, '--allowedTools', 'Bash', 'Read', 'Agent', '--model', 'claude-sonnet-4-6']
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
  agent: string
  isDone: boolean
  durationMs: number
  said: string
}

interface RefusedTask extends Done {
  /** What there is no more of. */
  spent: 'budget' | 'balance'
  refusals: CallRefusedData[]
}

const budgetName = 'What agents may spend'

/** Does something while a budget stands that what was spent already has passed. */
async function whileSpent<Result>(stack: TestStack, doing: () => Promise<Result>): Promise<Result> {
  const admin = await signIn(stack)
  const path = `${admin.project}/budgets`
  const wish = { name: budgetName, unit: 'usd', limit: '0.000001', window: 'day', mode: 'soft' }
  const { status, body } = await admin.call<{ id: string }>('POST', path, wish)
  if (status !== 201) throw new Error(JSON.stringify(body))
  await untilAnswered(stack, 402)
  const result = await doing()
  await admin.call('DELETE', `${path}/${body.id}`)
  await untilAnswered(stack, 200)
  return result
}

/** Makes the project prepaid: what it has spent is more than it was credited. */
async function useUpBalance(stack: TestStack): Promise<void> {
  const admin = await signIn(stack)
  const { status, body } = await admin.call('PATCH', `${admin.project}/balance`, { prepaid: true })
  if (status !== 204) throw new Error(JSON.stringify(body))
  await untilAnswered(stack, 402)
}

function untilAnswered(stack: TestStack, status: number): Promise<true> {
  return eventually(async () => {
    const headers = { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' }
    const request = { model: 'gpt-5.4', messages: [{ role: 'user', content: 'x' }] }
    const answer = await fetch(`${stack.openaiBaseUrl}/chat/completions`, {
      method: 'POST',
      headers,
      body: JSON.stringify(request),
    })
    await answer.arrayBuffer()
    return answer.status === status
  })
}

/** Does something while two requests of Codex a minute pass. */
async function whileLimited<Result>(stack: TestStack, doing: () => Promise<Result>): Promise<Result> {
  const admin = await signIn(stack)
  const path = `${admin.project}/budgets`
  const wish = {
    name: 'Two a minute',
    scope: { app: 'codex' },
    unit: 'requests',
    limit: '2',
    window: 'minute',
    mode: 'hard',
  }
  const { status, body } = await admin.call<{ id: string }>('POST', path, { ...wish, starts_at: 'now' })
  if (status !== 201) throw new Error(JSON.stringify(body))
  // Begun late in a minute it would be done in the next, and never wait.
  await new Promise(resolve => setTimeout(resolve, 60_000 - (Date.now() % 60_000) + 100))
  try {
    return await doing()
  } finally {
    await admin.call('DELETE', `${path}/${body.id}`)
  }
}

async function run(at: ScenarioRun, size: Size, mutant: readonly Replacement[] = []): Promise<Outcome> {
  at.say('installing the agents')
  const programs = await installAgents(root)
  const stack = await startTestStack(at.scope)
  if (mutant.length > 0) await restartAsMutant(stack.services.gateway, mutant)
  const feed = new EventFeed(stack)
  const done: Done[] = []
  const work = async (agent: Agent, time: string): Promise<Done> => {
    const [folder, home] = ['work', 'home'].map(name => join(stack.home, `${agent.name}-${time}`, name)) as [
      string,
      string,
    ]
    for (const made of [folder, home]) mkdirSync(made, { recursive: true })
    const begunAt = performance.now()
    const said = await agent.start(programs, stack, { prompt: promptOf(agent.steps(folder)), folder, home })
    writeFileSync(join(at.logs, `${agent.name}-${time}.log`), said)
    const file = join(folder, 'answer.txt')
    const isWritten = existsSync(file) && readFileSync(file, 'utf8') === 'forty-two\n'
    return {
      agent: agent.name,
      isDone: isWritten && said.includes(answer),
      durationMs: performance.now() - begunAt,
      said,
    }
  }
  for (let time = 1; time <= size.times; time++) for (const agent of agents) done.push(await work(agent, String(time)))
  at.say('a rate limit')
  const patient = await whileLimited(stack, () => work(codex('codex', false), 'limited'))
  const refusals = new RefusalFeed(stack)
  const refused: RefusedTask[] = []
  const workInVain = async (spent: RefusedTask['spent']): Promise<void> => {
    for (const agent of agents) {
      const before = refusals.all.length
      const task = await work(agent, `without ${spent}`)
      await eventually(() => refusals.all.length > before).catch(() => false)
      refused.push({ ...task, spent, refusals: refusals.all.slice(before) })
    }
  }
  at.say('the budget is spent')
  await whileSpent(stack, () => workInVain('budget'))
  at.say('the balance is used up')
  await useUpBalance(stack)
  await workInVain('balance')
  const bill = ((await (await fetch(`${stack.simulatorUrl}/simulator/bill`)).json()) as { records: BillRecord[] })
    .records
  await eventually(() => feed.all.length >= bill.length).catch(() => false)
  return judge(done, patient, refused, bill, feed.all)
}

function judge(
  done: readonly Done[],
  patient: Done,
  refused: readonly RefusedTask[],
  bill: readonly BillRecord[],
  events: readonly UsageRecordedData[],
): Outcome {
  const isOf = (record: BillRecord, { provider_request_id: request, response_id: response }: UsageRecordedData) =>
    record.bill_id === request || record.response_id === response
  const odd = events.filter(event => bill.find(record => isOf(record, event))?.cost_nano_usd !== event.cost_nano_usd)
  const missed = bill.filter(record => !events.some(event => isOf(record, event)))
  const unfinished = done.filter(task => !task.isDone)
  const agentEvents = events.filter(event => event.claimed.app !== 'node')
  const unnamed = agentEvents.filter(
    ({ claimed }) => !agents.some(agent => agent.app === claimed.app) || claimed.session_id === undefined,
  )
  const isOfHelper = ({ claimed }: UsageRecordedData) => claimed.agent_id !== undefined
  const helpless = agents.filter(({ app, hasHelper }) => {
    const own = agentEvents.filter(({ claimed }) => claimed.app === app)
    return hasHelper === true && (!own.some(isOfHelper) || own.every(isOfHelper))
  })
  const words = { budget: budgetName, balance: 'prepaid balance' }
  const silent = refused.filter(({ spent, said, isDone }) => isDone || !said.includes(words[spent]))
  const insistent = refused.filter(({ refusals }) => refusals.reduce((sum, { count }) => sum + count, 0) > 2)
  const none = (promise: string, found: readonly unknown[]) => ({
    promise,
    kept: found.length === 0,
    found: String(found.length),
  })
  return {
    figures: {
      'tasks finished': done.length - unfinished.length,
      ...Object.fromEntries(
        agents.map(({ name, app }) => {
          const times = done.filter(task => task.agent === name).map(task => Math.round(task.durationMs))
          const turns = events.filter(event => event.claimed.app === app).length
          return [name, `${turns} turns of a model by ${app}, ${times.join(' and ')} ms`]
        }),
      ),
      ...Object.fromEntries(
        refused.map(({ agent, spent, refusals, durationMs }) => [
          `${agent}, without ${spent}`,
          `${refusals.length} times, ended after ${Math.round(durationMs)} ms`,
        ]),
      ),
      'cost, nano-USD': String(events.reduce((sum, event) => sum + BigInt(event.cost_nano_usd), 0n)),
    },
    kept: [
      none('tasks not finished', unfinished),
      {
        promise: 'Codex waits for a rate limit over HTTP, and finishes its task',
        kept: patient.isDone,
        found: `${patient.isDone ? 'finished' : 'gave up'} after ${Math.round(patient.durationMs)} ms`,
      },
      { promise: 'at least three turns each', kept: bill.length >= done.length * 3, found: String(bill.length) },
      none('events with another cost than the bill', odd),
      none('lines of the bill without an event', missed),
      none('events that do not name their app and their session', unnamed),
      none('agents whose turns and those of the one that they start are not told apart', helpless),
      none('agents that do not show the message when budget or balance is spent', silent),
      none('agents that ask again and again then', insistent),
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
  promise:
    'Codex and Claude Code, unchanged, finish a task, each of their turns is settled to the provider’s bill, and with a budget or a prepaid balance spent they stop at once and say so',
  full: { times: 3 },
  small: { times: 1 },
  run,
  mutant: {
    name: 'cache writes are free',
    size: { times: 1 },
    run: (at, size) => run(at, size, forgetsCacheWrites),
  },
}
