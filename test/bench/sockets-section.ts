import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { model } from './payloads.ts'
import { cpuMicroseconds, fileLimit, loadCore, mostSockets, residentBytes } from './processes.ts'
import type { SectionOptions } from './sections.ts'
import type { SocketJob, SocketResult } from './socket-client.ts'
import { socketEvents, socketGapMs } from './socket-provider.ts'
import { short, type Table, times } from './table.ts'
import type { Target } from './targets.ts'

const turn = JSON.stringify({ type: 'response.create', model, input: 'the quick brown fox '.repeat(35) })

/** The client of many sockets, on the core of the load. */
function startClient(job: SocketJob) {
  const script = join(import.meta.dirname, 'socket-client.ts')
  const child = spawn('taskset', ['-c', String(loadCore), process.execPath, script, JSON.stringify(job)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    async read(): Promise<SocketResult> {
      const { value, done } = await lines.next()
      if (done) throw new Error('the client of sockets has ended')
      return JSON.parse(value) as SocketResult
    },
    runTurns: () => void child.stdin.write('\n'),
    end: () => void child.stdin.end(),
  }
}

/** Memory of idle sockets, and CPU of events on active ones among them. */
export async function sockets(targets: readonly Target[], options: SectionOptions): Promise<Table> {
  const wanted = options.quick ? 1_000 : 10_000
  const idle = Math.min(wanted, mostSockets())
  const active = Math.min(idle, options.quick ? 200 : 1_000)
  const why =
    idle < wanted
      ? `${wanted} are wanted; a limit of ${fileLimit()} open files holds ${idle}, two files a socket. `
      : ''
  const title = `WebSockets: ${idle} idle, then ${active} of them active, ${socketEvents} events ${socketGapMs} ms apart`
  options.say(title)
  const rows: string[][] = []
  let nginx: number | undefined
  for (const target of targets) {
    const endpoint = target.endpoint('socket')
    if (!endpoint || target.name === 'direct') continue
    const pid = target.pid('socket')
    const before = residentBytes(pid)
    const client = startClient({ ...endpoint, body: turn, sockets: idle, active })
    const opened = await client.read()
    // What opening them needed for a moment is given back.
    await delay(3_000)
    const resting = residentBytes(pid)
    // Opens the connections to the provider, and warms up.
    client.runTurns()
    await client.read()
    const cpuBefore = cpuMicroseconds(pid)
    client.runTurns()
    await delay((socketEvents * socketGapMs) / 2)
    const during = residentBytes(pid)
    const turns = await client.read()
    const perEvent = (cpuMicroseconds(pid) - cpuBefore) / Math.max(1, turns.events)
    client.end()
    nginx = target.name === 'nginx' ? perEvent : nginx
    rows.push([
      target.name,
      String(idle),
      short(before / 1e6),
      short(resting / 1e6),
      short((resting - before) / idle / 1024),
      short(during / 1e6),
      short(perEvent),
      times(perEvent, nginx),
      String(turns.lost),
      String(opened.failed + turns.failed),
    ])
  }
  return {
    title,
    note: `Responses sockets, each with a connection to the provider. ${why}Ours does for each turn what it does for a call; nginx relays.`,
    columns: [
      'target',
      'sockets',
      'RSS MB before',
      'idle',
      'kB/idle socket',
      'active',
      'CPU µs/event',
      '× nginx',
      'lost events',
      'failed',
    ],
    rows,
  }
}
