import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { loadCore } from './processes.ts'

const run = promisify(execFile)

/** Where to send calls, and with which headers. */
export interface Endpoint {
  url: string
  headers: Record<string, string>
}

export interface ClosedResult {
  requests: number
  seconds: number
  bytes: number
  /** Broken connections, timeouts, statuses of 400 and above. */
  errors: number
  p50Ms: number
}

/** A window of load from `connections` clients that each wait for the answer before they ask again (wrk). */
export async function runClosed(
  at: Endpoint,
  options: { body: string; connections: number; seconds: number; folder: string },
): Promise<ClosedResult> {
  const bodyFile = join(options.folder, 'wrk-body.json')
  const script = join(options.folder, 'wrk.lua')
  writeFileSync(bodyFile, options.body)
  const headers = Object.entries({ 'content-type': 'application/json', ...at.headers })
  writeFileSync(
    script,
    `wrk.method = "POST"
local file = io.open(${JSON.stringify(bodyFile)}, "rb"); wrk.body = file:read("*a"); file:close()
${headers.map(([name, value]) => `wrk.headers[${JSON.stringify(name)}] = ${JSON.stringify(value)}`).join('\n')}
done = function(s, latency)
  local e = s.errors
  io.write(string.format("RESULT %d %d %d %d %d\\n", s.requests, s.duration, s.bytes,
    e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50)))
end
`,
  )
  const { stdout } = await run('taskset', [
    '-c',
    String(loadCore),
    'wrk',
    '--threads',
    '1',
    '--connections',
    String(options.connections),
    '--duration',
    `${options.seconds}s`,
    '--timeout',
    '30s',
    '--script',
    script,
    at.url,
  ])
  const fields = /^RESULT (\d+) (\d+) (\d+) (\d+) (\d+)$/m.exec(stdout)?.slice(1).map(Number)
  if (!fields) throw new Error(`wrk said: ${stdout}`)
  const [requests = 0, duration = 0, bytes = 0, errors = 0, p50 = 0] = fields
  return { requests, seconds: duration / 1e6, bytes, errors, p50Ms: p50 / 1000 }
}
