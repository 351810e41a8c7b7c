import { execFile } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Endpoint } from './load-closed.ts'
import { loadCore } from './processes.ts'
import { percentile } from './statistics.ts'

const run = promisify(execFile)
const clients = 32

export interface RateResult {
  perSecond: number
  p50Ms: number
  p99Ms: number
  errors: number
}

/** Calls at a rate that does not wait for the answers (h2load): latency without the queue that a closed loop builds. */
export async function runRate(
  at: Endpoint,
  options: { body: string; perSecond: number; seconds: number; folder: string },
): Promise<RateResult> {
  const bodyFile = join(options.folder, 'h2load-body.json')
  const logFile = join(options.folder, 'h2load.log')
  writeFileSync(bodyFile, options.body)
  rmSync(logFile, { force: true })
  const headers = Object.entries({ 'content-type': 'application/json', ...at.headers })
  await run('taskset', [
    '-c',
    String(loadCore),
    'h2load',
    '--h1',
    '--threads=1',
    `--clients=${clients}`,
    `--rps=${(options.perSecond / clients).toFixed(2)}`,
    `--duration=${options.seconds}`,
    '--warm-up-time=1',
    `--data=${bodyFile}`,
    `--log-file=${logFile}`,
    ...headers.map(([name, value]) => `--header=${name}: ${value}`),
    at.url,
  ])
  // Each line: when it began, the status, how long it took, in microseconds.
  const rows = readFileSync(logFile, 'utf8')
    .trim()
    .split('\n')
    .map(line => line.split('\t').map(Number))
  const times = rows.map(row => (row[2] ?? 0) / 1000).sort((a, b) => a - b)
  return {
    perSecond: rows.length / options.seconds,
    p50Ms: percentile(times, 0.5),
    p99Ms: percentile(times, 0.99),
    errors: rows.filter(row => row[1] !== 200).length,
  }
}
