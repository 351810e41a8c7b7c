import { startSimulator } from './index.ts'

const text = process.env.SIMULATOR_PORT ?? '9100'
const port = Number(text)
if (!Number.isInteger(port) || port < 0 || port > 65_535) {
  process.stderr.write(`SIMULATOR_PORT is "${text}": give a port from 0 to 65535.\n`)
  process.exitCode = 1
} else {
  const simulator = await startSimulator({
    port,
    host: process.env.SIMULATOR_HOST ?? '127.0.0.1',
    log: (message, detail) => process.stderr.write(`${message}: ${JSON.stringify(detail, errorsAsText)}\n`),
  })
  process.stdout.write(`SIMULATOR of a language model provider (no model, play money) at ${simulator.url}
  OpenAI     ${simulator.url}/v1          any key, e.g. OPENAI_API_KEY=sk-simulator
  Anthropic  ${simulator.url}             any key, e.g. ANTHROPIC_API_KEY=sk-simulator
  its bill   ${simulator.url}/simulator/bill
`)
  const stop = () => void simulator.close()
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
}

function errorsAsText(_: string, value: unknown): unknown {
  return value instanceof Error ? (value.stack ?? value.message) : value
}
