import { randomInt } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import getPort, { portNumbers } from 'get-port'

/**
 * Below the ports that systems give to outgoing connections (32768 and up on Linux, 49152 on macOS): one of those can be taken
 * between the moment it is found free and the moment its server listens.
 */
const lowest = 12_000
const highest = 32_000

/**
 * A port of this machine that nobody listens on, for a server that is started next. No other process of this user is given it
 * as long as we live: while our server is down, between two starts, it looks free.
 */
export async function freePort(): Promise<number> {
  const folder = join(tmpdir(), `sluice-ports-${process.getuid?.() ?? 0}`)
  for (;;) {
    const port = await getPort({ host: '127.0.0.1', port: portNumbers(randomInt(lowest, highest - 1_000), highest) })
    if (reservePort(folder, port)) return port
  }
}

/** Whether a port is ours from now on: nobody has reserved it, or whoever has is gone. Where nothing can be written, it is. */
export function reservePort(folder: string, port: number): boolean {
  const path = join(folder, String(port))
  // Made, never written over: the folder is where everybody may write, and what stands there may lead elsewhere.
  const reserve = () => writeFileSync(path, String(process.pid), { flag: 'wx' })
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    reserve()
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return true
  }
  try {
    if (isAlive(Number(readFileSync(path, 'utf8')))) return false
    rmSync(path)
    reserve()
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'EEXIST'
  }
}

function isAlive(pid: number): boolean {
  if (pid === process.pid) return true
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
