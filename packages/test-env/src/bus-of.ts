import type { NatsConnection } from '@nats-io/transport-node'
import type { Bus } from '@sluice/bus'

/** A connection that a test has anyway, to read and write by what services use: it stays whose it is, and is never away. */
export function busOf(connection: NatsConnection): Bus {
  return { connection, isConnected: () => true, onBack: () => () => {}, close: async () => {} }
}
