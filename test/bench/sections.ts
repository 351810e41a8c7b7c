import { setTimeout as delay } from 'node:timers/promises'
import { budgetService } from './budget-service-section.ts'
import { admission, workload } from './budgets-section.ts'
import { cuts } from './cuts-section.ts'
import { keys } from './keys-section.ts'
import { runRate } from './load-rate.ts'
import { runStreams } from './load-streams.ts'
import type { Route } from './nginx.ts'
import { type RequestName, requests, slowEvents, streamEvents } from './payloads.ts'
import { cpuMicroseconds, residentBytes } from './processes.ts'
import { type Measured, runRounds } from './rounds.ts'
import { sockets } from './sockets-section.ts'
import { short, type Table, times } from './table.ts'
import { fetchBody, type Target } from './targets.ts'

export interface SectionOptions {
  quick: boolean
  folder: string
  say: (line: string) => void
}

/** Closed loop: CPU per call against nginx and Portkey. */
async function closed(
  targets: readonly Target[],
  options: SectionOptions,
  section: {
    title: string
    note: string
    route: Route
    request: RequestName
    connections: number
    eventsPerCall?: number
  },
): Promise<{ table: Table; measured: Measured[] }> {
  options.say(section.title)
  const body = requests[section.request]
  const rounds = options.quick ? { rounds: 2, seconds: 1 } : { rounds: 5, seconds: 2 }
  const [first, ...rest] = targets
  const expected = first && (await fetchBody(first, section.route, body))
  const same = new Map<string, string>()
  for (const target of rest) {
    const got = await fetchBody(target, section.route, body)
    same.set(target.name, got === undefined ? '–' : expected === undefined || expected.equals(got) ? 'same' : 'changed')
  }
  const measured = await runRounds(targets, { ...section, ...rounds, body, folder: options.folder, say: options.say })
  const portkey = measured.find(row => row.target === 'Portkey')
  const perEvent = section.eventsPerCall
  const rows = measured.map(row => [
    row.target,
    short(row.cpuMin),
    short(row.cpuMedian),
    ...(perEvent === undefined ? [] : [short(row.cpuMedian / perEvent)]),
    row.target === 'direct' ? '–' : times(row.timesNginx, 1),
    portkey && row.target !== 'direct' ? `1/${short(portkey.cpuMedian / row.cpuMedian)}` : '–',
    short(row.requestsPerSecond),
    short(row.p50Ms),
    String(row.errors),
    same.get(row.target) ?? '–',
    row.windows.map(({ cpuPerRequest: cpu, isKept }) => (isKept ? short(cpu) : `(${short(cpu)})`)).join(' '),
  ])
  const columns = [
    'target',
    'CPU µs/call min',
    'median',
    ...(perEvent === undefined ? [] : ['µs/event']),
    '× nginx',
    'of Portkey',
    'calls/s',
    'p50 ms',
    'errors',
    'body',
    'each window, µs',
  ]
  return { table: { title: section.title, note: section.note, columns, rows }, measured }
}

/** 101 events 20 ms apart on many streams at once: the honest test of a relay. */
async function paced(targets: readonly Target[], options: SectionOptions): Promise<Table> {
  const streams = options.quick ? 100 : 300
  const rounds = options.quick ? 1 : 3
  const title = `SSE paced: ${streams} streams, ${streamEvents} events 20 ms apart`
  options.say(title)
  const expected = await referenceLength(targets, 'paced')
  const results = new Map<string, { cpu: number; ttft50: number; ttft99: number; lost: number; changed: number }[]>()
  for (let round = 0; round <= rounds; round++) {
    for (const target of targets) {
      const endpoint = target.endpoint('paced')
      if (!endpoint) continue
      const before = cpuMicroseconds(target.pid('paced'))
      const job = { ...endpoint, body: requests.small_stream, eventsPerStream: streamEvents, bytesPerStream: expected }
      const result = await runStreams({ ...job, streams: round === 0 ? Math.min(50, streams) : streams })
      // Round 0 warms up.
      if (round === 0) continue
      const cpu = (cpuMicroseconds(target.pid('paced')) - before) / Math.max(1, result.events)
      const row = {
        cpu,
        ttft50: result.ttftP50Ms,
        ttft99: result.ttftP99Ms,
        lost: result.lost,
        changed: result.changed,
      }
      results.set(target.name, [...(results.get(target.name) ?? []), row])
    }
  }
  const best = (name: string) => [...(results.get(name) ?? [])].sort((a, b) => a.cpu - b.cpu)[0]
  const nginx = best('nginx')
  const portkey = best('Portkey')
  const rows = [...results].map(([name, all]) => {
    const row = best(name)
    const added = (value: number | undefined, base: number | undefined) =>
      name === 'direct' || name === 'nginx' || value === undefined || base === undefined ? '–' : short(value - base)
    const sum = (pick: (row: { lost: number; changed: number }) => number) =>
      String(all.reduce((total, each) => total + pick(each), 0))
    return [
      name,
      short(row?.cpu ?? Number.NaN),
      name === 'direct' ? '–' : times(row?.cpu ?? Number.NaN, nginx?.cpu),
      portkey && row && name !== 'direct' ? `1/${short(portkey.cpu / row.cpu)}` : '–',
      short(row?.ttft50 ?? Number.NaN),
      short(row?.ttft99 ?? Number.NaN),
      added(row?.ttft50, nginx?.ttft50),
      added(row?.ttft99, nginx?.ttft99),
      sum(each => each.lost),
      sum(each => each.changed),
    ]
  })
  return {
    title,
    note: `Streams arrive evenly over 0.5 s. The best of ${rounds} rounds by CPU; lost events and streams of another length are counted in all.`,
    columns: [
      'target',
      'CPU µs/event',
      '× nginx',
      'of Portkey',
      'TTFT p50 ms',
      'p99',
      'over nginx p50',
      'p99',
      'lost events',
      'changed',
    ],
    rows,
  }
}

/** Memory of open streams. */
async function memory(targets: readonly Target[], options: SectionOptions): Promise<Table> {
  const streams = options.quick ? 300 : 1000
  const title = `Memory: ${streams} open streams, ${slowEvents} events 0.5 s apart`
  options.say(title)
  const expected = await referenceLength(targets, 'slow')
  const rows: string[][] = []
  for (const target of targets) {
    const endpoint = target.endpoint('slow')
    if (!endpoint || target.name === 'direct') continue
    const job = { ...endpoint, body: requests.small_stream, eventsPerStream: slowEvents, bytesPerStream: expected }
    const burst = target.endpoint('burst')
    if (burst) await runStreams({ ...job, ...burst, streams: 20 })
    const before = residentBytes(target.pid('slow'))
    const running = runStreams({ ...job, streams })
    // Half-way through the streams, all are open.
    await delay(5000)
    const during = residentBytes(target.pid('slow'))
    const result = await running
    const perStream = Math.max(1, during - before) / streams
    rows.push([
      target.name,
      short(before / 1e6),
      short(during / 1e6),
      short(perStream / 1024),
      short(1024 ** 3 / perStream),
      String(result.lost),
      String(result.failed),
    ])
  }
  return {
    title,
    note: 'Resident memory of the process tree, fresh but for 20 streams, and with all streams open; per stream is the growth, first use of code and heap included.',
    columns: ['target', 'RSS MB before', 'during', 'kB/stream', 'streams/GB', 'lost events', 'failed'],
    rows,
  }
}

/** Latency at half of each target's own maximum, nginx at the same rate beside it. */
async function halfLoad(
  targets: readonly Target[],
  measured: readonly Measured[],
  options: SectionOptions,
): Promise<Table> {
  const title = 'Added latency at half of the maximum'
  options.say(title)
  const seconds = options.quick ? 3 : 8
  const nginx = targets.find(target => target.name === 'nginx')
  const rows: string[][] = []
  for (const target of targets) {
    const maximum = measured.find(row => row.target === target.name)?.requestsPerSecond
    const endpoint = target.endpoint('json')
    const reference = nginx?.endpoint('json')
    if (target.name === 'direct' || target === nginx || !maximum || !endpoint || !reference) continue
    const load = { body: requests.small, perSecond: Math.round(maximum / 2), seconds, folder: options.folder }
    const base = await runRate(reference, load)
    const cpuBefore = cpuMicroseconds(target.pid('json'))
    const result = await runRate(endpoint, load)
    const busy = (cpuMicroseconds(target.pid('json')) - cpuBefore) / ((seconds + 1) * 1e6)
    rows.push([
      target.name,
      short(result.perSecond),
      `${Math.round(busy * 100)} %`,
      short(result.p50Ms),
      short(result.p99Ms),
      short(base.p50Ms),
      short(base.p99Ms),
      short(result.p50Ms - base.p50Ms),
      short(result.p99Ms - base.p99Ms),
      String(result.errors),
    ])
  }
  return {
    title,
    note: 'Calls arrive at a fixed rate, whatever the answers do (h2load, 32 connections); nginx at the same rate is the reference.',
    columns: [
      'target',
      'calls/s',
      'core used',
      'p50 ms',
      'p99',
      'nginx p50',
      'p99',
      'added p50',
      'added p99',
      'errors',
    ],
    rows,
  }
}

async function referenceLength(targets: readonly Target[], route: Route): Promise<number> {
  const [direct] = targets
  const body = direct && (await fetchBody(direct, route, requests.small_stream))
  return body?.length ?? 0
}

const work =
  'CPU of the process tree per call at saturation. Our gateway does its full work: key, budgets, usage, price, journal, event to JetStream, metrics.'

const leasedWork =
  'CPU of the process tree per call at saturation. `gateway` meets eight soft budgets; `gateway, hard` is the same process with a key whose eight budgets are hard: money is held and settled for each call, by lease. Wanted: 5 × nginx. The budget service and PostgreSQL run on the core of the load.'

/** Every section by its name, in the order of the report. @param tables get what is measured, one by one: what comes later may fail */
export async function runSections(
  targets: readonly Target[],
  only: readonly string[],
  options: SectionOptions,
  tables: Table[],
): Promise<void> {
  const wanted = (name: string) => only.length === 0 || only.includes(name)
  const small = { route: 'json', request: 'small', connections: 64, note: work } as const
  // First: a heap that an earlier section has grown would hide what streams need.
  const memoryTable = wanted('memory') ? [await memory(targets, options)] : []
  if (wanted('json') || wanted('latency')) {
    const json = await closed(targets, options, { ...small, title: 'JSON 1 kB, 64 connections' })
    tables.push(json.table)
    if (wanted('latency')) tables.push(await halfLoad(targets, json.measured, options))
  }
  if (wanted('burst'))
    tables.push(
      (
        await closed(targets, options, {
          title: `SSE burst: ${streamEvents} events at once, 64 connections`,
          note: 'Readers may find many events in one read, so this flatters everyone; the paced streams do not.',
          route: 'burst',
          request: 'small_stream',
          connections: 64,
          eventsPerCall: streamEvents,
        })
      ).table,
    )
  if (wanted('paced')) tables.push(await paced(targets, options))
  if (wanted('prompts'))
    for (const [title, request] of [
      ['Prompt of 100 kB, 16 connections', 'prompt_100kb'],
      ['Prompt of 400 kB, 16 connections', 'prompt_400kb'],
    ] as const)
      tables.push((await closed(targets, options, { ...small, title, request, connections: 16 })).table)
  if (wanted('tls'))
    tables.push(
      (
        await closed(targets, options, {
          ...small,
          route: 'tls',
          title: 'JSON 1 kB with TLS, 64 connections',
          note: 'TLS to the provider for all; to the client too where the target listens with TLS (nginx and ours do, Portkey cannot: what compares with it is ours without). Connections are kept.',
        })
      ).table,
    )
  if (wanted('sockets')) tables.push(await sockets(targets, options))
  if (wanted('keys')) tables.push(await keys(options))
  // Asked for by name: they have a budget service beside the load.
  if (only.includes('budgets')) tables.push(admission(options))
  if (only.includes('budgets') || only.includes('leased')) {
    const title = 'Hard budgets: JSON 1 kB, 64 connections'
    tables.push((await closed(targets, options, { ...small, note: leasedWork, title })).table)
  }
  if (only.includes('budgets')) tables.push(await workload(options))
  if (only.includes('budgets') || only.includes('budget-service')) tables.push(await budgetService(options))
  if (only.includes('budgets') || only.includes('cuts')) tables.push(await cuts(options))
  tables.push(...memoryTable)
}
