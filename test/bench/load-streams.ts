import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { loadCore } from './processes.ts'
import type { StreamJob, StreamResult } from './stream-client.ts'

const run = promisify(execFile)

/** Runs the stream client on the core of the load. */
export async function runStreams(job: StreamJob): Promise<StreamResult> {
  const script = join(import.meta.dirname, 'stream-client.ts')
  const { stdout } = await run('taskset', ['-c', String(loadCore), process.execPath, script, JSON.stringify(job)])
  return JSON.parse(stdout) as StreamResult
}
