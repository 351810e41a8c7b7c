// `npm start`: everything on one machine. Prints what it does, then a receipt for each call, until Ctrl-C.
import { Socket } from 'node:net'
import { join } from 'node:path'
import pc from 'picocolors'
import { writeEnvLines } from './env-file.ts'
import { lockHome, openHome, spaceError, write } from './home.ts'
import { checkPortIsFree } from './port-check.ts'
import { writeReadyText } from './ready-text.ts'
import { printReceipts } from './receipts.ts'
import { missingServices, type RunningStack, runStack } from './run-stack.ts'
import { StackError } from './stack-error.ts'
import { describeSharedRights, readStartSettings } from './start-settings.ts'

const since = Date.now()
const root = join(import.meta.dirname, '..', '..', '..')
const interrupted = new AbortController()
let hurried = false
let home = 'SLUICE_HOME'

const say = (line: string) => process.stdout.write(`${line}\n`)
const step = (line: string) => say(pc.dim(`  ${line}`))

// A terminal sends Ctrl-C to all of its group and npm passes it on as well: only one that comes later is a second one.
let firstSignalAt = 0
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => {
    if (firstSignalAt === 0) {
      firstSignalAt = Date.now()
      interrupted.abort(signal)
    } else if (Date.now() - firstSignalAt > 1_000 && !hurried) {
      hurried = true
      say('Ending now: what is under way is recovered at the next start.')
      // Every part ends with us: its watchdog sees our end of the pipe close.
      process.exit(130)
    }
  })
watchParent()

try {
  await main()
} catch (error) {
  const cause = spaceError(home, error)
  if (interrupted.signal.aborted) {
    say('Stopped.')
    process.exitCode = 130
  } else {
    process.stderr.write(`\n${pc.red('Sluice did not start.')} ${describe(cause)}\n`)
    process.exitCode = 1
  }
}

async function main(): Promise<void> {
  const settings = readStartSettings(process.env, { root, cwd: process.cwd() })
  const missing = missingServices(root)
  if (missing.length > 0) throw new StackError(`This checkout is incomplete: it lacks ${missing.join(', ')}.`)
  home = settings.home
  openHome(home)
  const lock = lockHome(settings.home, `http://127.0.0.1:${settings.port}`)
  try {
    await checkPortIsFree(settings.host, settings.port)
    say(`Starting Sluice; everything is kept in ${settings.home}`)
    const sharedRights = settings.nats && describeSharedRights(settings.nats)
    if (sharedRights) say(`  ${sharedRights}`)
    const stack = await runStack({
      root,
      home: settings.home,
      env: process.env,
      host: settings.host,
      port: settings.port,
      ...(settings.databaseUrl === undefined ? {} : { databaseUrl: settings.databaseUrl }),
      ...(settings.nats === undefined ? {} : { nats: settings.nats }),
      ...(settings.clickhouseUrl === undefined ? {} : { clickhouseUrl: settings.clickhouseUrl }),
      providers: settings.providers,
      lasting: true,
      signal: interrupted.signal,
      log: step,
    })
    await serve(stack, settings)
  } finally {
    lock.release()
  }
}

async function serve(running: RunningStack, settings: ReturnType<typeof readStartSettings>): Promise<void> {
  try {
    const envLines = writeEnvLines(running)
    const envFile = join(settings.home, 'env')
    write(envFile, envLines)
    const receipts = await printReceipts(running.natsAdmin, line => say(`  ${line}`))
    say(
      writeReadyText({
        ...running,
        providers: settings.providers,
        envFile,
        envLines,
        logs: join(settings.home, 'logs'),
        seconds: ((Date.now() - since) / 1000).toFixed(1),
      }),
    )
    await untilInterrupted()
    receipts.stop()
    say('\nEnding: calls under way may finish …')
  } finally {
    await running.stop()
  }
  say('Stopped; nothing is left running.')
}

function untilInterrupted(): Promise<void> {
  if (interrupted.signal.aborted) return Promise.resolve()
  return new Promise(resolve => interrupted.signal.addEventListener('abort', () => resolve(), { once: true }))
}

/** Whoever started us holds the other end of a pipe; it closes even when they are killed. */
function watchParent(): void {
  const fd = Number(process.env.SLUICE_PARENT_FD)
  if (!Number.isInteger(fd) || fd < 3) return
  delete process.env.SLUICE_PARENT_FD
  const gone = () => interrupted.abort('parent')
  try {
    new Socket({ fd, readable: true, writable: false }).on('end', gone).on('error', gone).resume().unref()
  } catch {
    // Handed down by somebody who does not hold the other end: then nobody's end is to be watched.
  }
}

function describe(error: unknown): string {
  if (error instanceof StackError) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
