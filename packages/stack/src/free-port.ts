import { randomInt } from 'node:crypto'
import getPort, { portNumbers } from 'get-port'

/**
 * Below the ports that systems give to outgoing connections (32768 and up on Linux, 49152 on macOS): one of those can be taken
 * between the moment it is found free and the moment its server listens.
 */
const lowest = 12_000
const highest = 32_000

/** A port of this machine that nobody listens on, for a server that is started next. */
export function freePort(): Promise<number> {
  return getPort({ host: '127.0.0.1', port: portNumbers(randomInt(lowest, highest - 1_000), highest) })
}
