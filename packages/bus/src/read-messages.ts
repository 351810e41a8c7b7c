import { jetstreamManager } from '@nats-io/jetstream'
import type { streams } from '@sluice/contracts'
import type { Bus } from './connect.ts'

/** A message read from a stream by its number, apart from any consumer. */
export interface StoredMessage {
  seq: number
  subject: string
  /** Empty where there is no such header. */
  header: (name: string) => string
  data: Uint8Array
}

/** Reads the messages `first..last` of a stream, in order; those that are gone are left out. */
export async function* readMessages(
  bus: Bus,
  stream: keyof typeof streams,
  first: number,
  last: number,
): AsyncGenerator<StoredMessage> {
  const manager = await jetstreamManager(bus.connection, { timeout: 5_000 })
  for (let seq = first; seq <= last; seq++) {
    const found = await manager.streams.getMessage(stream, { seq })
    if (found) yield { seq, subject: found.subject, header: name => found.header.get(name), data: found.data }
  }
}
