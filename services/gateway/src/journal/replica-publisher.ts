import { type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream'
import { type Bus, newHeaders } from '@sluice/bus'
import { journalSubject } from '@sluice/contracts'

/**
 * What stands on a gateway's subject of the stream JOURNAL. `bytes`: a piece of a segment. `beat`: the gateway lives. `ended`:
 * it has ended its run itself. `taken`: a sibling has fenced it and ends its runs; nothing of the gateway can follow. `done`: the
 * sibling has brought them to an end.
 */
export type ReplicaMessage =
  | { kind: 'bytes'; seq: number; epoch: number; segment: number; offset: number; bytes: Uint8Array }
  | { kind: 'beat' | 'ended' | 'taken' | 'done'; seq: number }

/** Somebody else has written to the subject behind what we knew: this gateway has been taken over. */
export class FencedError extends Error {
  override name = 'FencedError'
}

const stream = 'JOURNAL'
const header = {
  kind: 'Sluice-Kind',
  epoch: 'Sluice-Epoch',
  segment: 'Sluice-Segment',
  offset: 'Sluice-Offset',
} as const

/** The replica of one gateway's journal. Each message names the one before it, so that only one can write. */
export interface ReplicaSubject {
  readLast: () => Promise<ReplicaMessage | undefined>
  /** Everything from `seq` on, in order. */
  read: (seq: number) => AsyncGenerator<ReplicaMessage>
  /**
   * Writes behind message `after` (0: the first one). @returns its number
   * @throws FencedError where another message stands there already; Error where it is not known to be written
   */
  write: (
    message: Omit<Extract<ReplicaMessage, { kind: 'bytes' }>, 'seq'> | { kind: 'beat' | 'ended' | 'taken' | 'done' },
    after: number,
  ) => Promise<number>
  /** Deletes what stands before `seq`. */
  deleteBefore: (seq: number) => Promise<void>
}

export async function replicaSubject(bus: Bus, gatewayId: string): Promise<ReplicaSubject> {
  const subject = journalSubject(gatewayId)
  const publisher = jetstream(bus.connection, { timeout: 2_000 })
  const manager = await jetstreamManager(bus.connection, { timeout: 2_000, checkAPI: false })

  async function get(query: { last_by_subj: string } | { next_by_subj: string; seq: number }) {
    const found = await manager.streams.getMessage(
      stream,
      query as Parameters<JetStreamManager['streams']['getMessage']>[1],
    )
    if (!found) return undefined
    const text = (name: string): string => found.header.get(name)
    const kind = text(header.kind) as ReplicaMessage['kind']
    if (kind !== 'bytes') return { kind, seq: found.seq }
    const number = (name: string): number => Number(text(name))
    return {
      kind,
      seq: found.seq,
      epoch: number(header.epoch),
      segment: number(header.segment),
      offset: number(header.offset),
      bytes: found.data,
    }
  }

  return {
    readLast: () => get({ last_by_subj: subject }),
    async *read(from) {
      for (let seq = from; ; ) {
        const message = await get({ next_by_subj: subject, seq })
        if (!message) return
        yield message
        seq = message.seq + 1
      }
    },
    async write(message, after) {
      // The client would keep it in memory until there is a connection again.
      if (!bus.isConnected()) throw new Error('no connection to NATS')
      const headers = newHeaders()
      headers.set(header.kind, message.kind)
      if (message.kind === 'bytes')
        for (const name of ['epoch', 'segment', 'offset'] as const) headers.set(header[name], String(message[name]))
      const payload = message.kind === 'bytes' ? message.bytes : new Uint8Array()
      try {
        const ack = await publisher.publish(subject, payload, { headers, expect: { lastSubjectSequence: after } })
        return ack.seq
      } catch (error) {
        if ((error as { code?: number }).code === 10071) throw new FencedError(`${subject} goes on behind ${after}`)
        throw error
      }
    },
    async deleteBefore(seq) {
      await manager.streams.purge(stream, { filter: subject, seq })
    },
  }
}

/** The gateways that have a replica. */
export async function listReplicas(bus: Bus): Promise<string[]> {
  const manager = await jetstreamManager(bus.connection, { timeout: 2_000, checkAPI: false })
  const info = await manager.streams.info(stream, { subjects_filter: journalSubject('*') })
  return Object.keys(info.state.subjects ?? {}).map(subject => subject.slice(journalSubject('').length))
}
