import { readFileSync, rmSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { isSameProcess, parseIdentity } from './process-identity.ts'
import { StackError } from './stack-error.ts'

/**
 * Ends the process that a killed run left behind, named by its pid file. It is signalled only when start time and boot
 * prove that it is the very process we started; any other owner of that id is left alone.
 */
export async function endOrphan(
  pidFile: string,
  options: { signal: NodeJS.Signals; graceMs: number },
): Promise<'none' | 'ended'> {
  const kept = readPidFile(pidFile)
  const identity = kept === undefined ? undefined : parseIdentity(kept)
  if (identity === undefined || !isSameProcess(identity)) {
    rmSync(pidFile, { force: true })
    return 'none'
  }
  send(identity.pid, options.signal)
  const deadline = Date.now() + options.graceMs
  while (isSameProcess(identity) && Date.now() < deadline) await delay(20)
  if (isSameProcess(identity)) {
    send(-identity.pid, 'SIGKILL')
    const killed = Date.now() + 5000
    while (isSameProcess(identity)) {
      if (Date.now() > killed)
        throw new StackError(`Process ${identity.pid} of an earlier run cannot be ended; end it, then start again.`)
      await delay(20)
    }
  }
  rmSync(pidFile, { force: true })
  return 'ended'
}

function readPidFile(pidFile: string): string | undefined {
  try {
    return readFileSync(pidFile, 'utf8')
  } catch {
    return undefined
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It ended by itself.
  }
}
