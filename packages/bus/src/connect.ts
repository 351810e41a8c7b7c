import { setTimeout as delay } from 'node:timers/promises'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import type { Logger } from '@sluice/runtime'

export interface BusConfig {
  url: string
  user: string | undefined
  password: string | undefined
}

/** The server version below which delivery guarantees are not met. */
const floor = [2, 10, 27] as const
/** Longest wait for the server to take what was published last. */
const drainMs = 3_000

/** A connection that never gives up reconnecting. */
export interface Bus {
  connection: NatsConnection
  /** False while the server is away. */
  isConnected: () => boolean
  /** Tells of each return of the server, and for how long it was away. @returns ends that */
  onBack: (tell: (awayMs: number) => void) => () => void
  /** Flushes and closes; running consumers end. */
  close: () => Promise<void>
}

/**
 * Connects and refuses a server older than 2.10.27. Waits for the first connection; afterwards reconnects for ever.
 * What is published on core NATS while the server is away is lost: whoever needs more uses JetStream and awaits the ack.
 * @throws Error naming both versions where the server is too old
 */
export async function connectBus(config: BusConfig, name: string, log: Logger): Promise<Bus> {
  const connection = await connect({
    // A stack trace for each request costs more than sending it.
    noAsyncTraces: true,
    servers: config.url,
    name,
    ...(config.user === undefined ? {} : { user: config.user, pass: config.password ?? '' }),
    inboxPrefix: `_INBOX_${name}`,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 250,
    reconnectJitter: 100,
    pingInterval: 5_000,
    maxPingOut: 2,
    timeout: 2_000,
    waitOnFirstConnect: true,
  })
  const version = connection.info?.version ?? '0.0.0'
  if (isOlder(version)) {
    await connection.close()
    throw new Error(`NATS server ${version} is older than ${floor.join('.')}, which Sluice needs: upgrade nats-server`)
  }
  let connected = true
  let awaySinceMs = Date.now()
  const hearers = new Set<(awayMs: number) => void>()
  void (async () => {
    for await (const status of connection.status()) {
      if (status.type === 'disconnect') {
        if (connected) awaySinceMs = Date.now()
        connected = false
      }
      if (status.type === 'reconnect') {
        connected = true
        for (const tell of hearers) tell(Date.now() - awaySinceMs)
      }
      if (status.type === 'disconnect' || status.type === 'reconnect')
        log.warn({ status: status.type }, 'bus connection')
      if (status.type === 'error') log.warn({ err: status.error }, 'bus error')
    }
  })()
  return {
    connection,
    isConnected: () => connected && !connection.isClosed(),
    onBack: tell => {
      hearers.add(tell)
      return () => void hearers.delete(tell)
    },
    close: async () => {
      if (connection.isClosed()) return
      // A drain waits for the server, for ever where it has just gone, or fails: what is then left could not be sent anyway.
      const patience = new AbortController()
      if (connected)
        await Promise.race([connection.drain(), delay(drainMs, undefined, { signal: patience.signal })]).catch(() => {})
      patience.abort()
      if (!connection.isClosed()) await connection.close()
    },
  }
}

function isOlder(version: string): boolean {
  const parts = version.split(/[.-]/).map(Number)
  for (const [index, minimum] of floor.entries()) {
    const part = parts[index] ?? 0
    if (part !== minimum) return part < minimum
  }
  return false
}
