import { startTestStack } from '@sluice/test-env'
import { playDemo } from './play-demo.ts'

/** `npm run demo`: about a minute on this machine alone. */
const cleanUps: (() => void | Promise<void>)[] = []
const scope = { after: (clean: () => void | Promise<void>) => void cleanUps.push(clean) }
const say = (line: string) => void process.stdout.write(`${line}\n`)

let exitCode = 1
try {
  say('Starting PostgreSQL, NATS, ClickHouse, five services and two more gateways …')
  const stack = await startTestStack(scope)
  const size = {
    limit: '2.00',
    gateways: 3,
    streams: 40,
    outputTokens: 3_000,
    killAfterMs: 12_000,
    downMs: 4_000,
    longestMs: 60_000,
  }
  exitCode = (await playDemo({ scope, stack, size, say })) ? 0 : 1
} finally {
  for (const clean of cleanUps.reverse()) await clean()
}
process.exit(exitCode)
