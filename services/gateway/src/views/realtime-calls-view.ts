import { createHash } from 'node:crypto'
import { type Bus, followBucket, type KvRecords, type KvView, openRecords } from '@sluice/bus'
import { MAX_LEFT_TURNS, RealtimeCall, realtimeCallKey } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'

/** A run of a gateway that has ended, with what it had not settled. */
export interface EndedRun {
  gatewayId: string
  epoch: number
  unsettled: readonly { in_call?: { call_id: string; turn_id: string } }[]
}

/** Writers that meet at one record; more than that is a fault. */
const maxTries = 8

/**
 * The calls whose sound goes past the gateways, in memory from KV `realtime-calls`, and the writes to it. The view is
 * milliseconds behind; whoever changes a call reads its record first, and the revision says whether it was the first.
 */
export class RealtimeCalls {
  readonly #records: KvRecords<RealtimeCall>
  readonly #view: KvView<RealtimeCall>
  /** When each call was last seen to be written, on the clock of `performance.now()`: no two machines' clocks are compared. */
  readonly #changedAt: Map<string, number>
  readonly #bus: Bus
  #deafUntil = 0

  private constructor(
    bus: Bus,
    stores: { records: KvRecords<RealtimeCall>; view: KvView<RealtimeCall>; changedAt: Map<string, number> },
  ) {
    this.#bus = bus
    this.#records = stores.records
    this.#view = stores.view
    this.#changedAt = stores.changedAt
  }

  static async open(bus: Bus, log: Logger): Promise<RealtimeCalls> {
    const changedAt = new Map<string, number>()
    const view = await followBucket(bus, 'realtime-calls', RealtimeCall, {
      log,
      onChange: (key, call) => {
        if (call) changedAt.set(key, performance.now())
        else changedAt.delete(key)
      },
    })
    return new RealtimeCalls(bus, { records: await openRecords(bus, 'realtime-calls', RealtimeCall), view, changedAt })
  }

  isConnected(): boolean {
    return this.#bus.isConnected()
  }

  /** As this gateway knows it; a moment behind. */
  find(key: string): RealtimeCall | undefined {
    return this.#view.get(key)
  }

  entries(): IterableIterator<[string, RealtimeCall]> {
    return this.#view.entries()
  }

  /** For how long a record has not been written, as far as a write would have been heard here (ms). */
  stoodStillMs(key: string): number {
    return performance.now() - Math.max(this.#changedAt.get(key) ?? performance.now(), this.#deafUntil)
  }

  /** Nothing could be heard until now: no silence before counts against anybody. */
  wasDeaf(): void {
    this.#deafUntil = performance.now()
  }

  /** Resolves when the bucket answers, and with it whoever else can reach it could have written. */
  async hear(key: string): Promise<void> {
    await this.#records.get(key)
  }

  /** @returns false: there is such a call already */
  async create(key: string, call: RealtimeCall): Promise<boolean> {
    return (await this.#records.create(key, call)) !== undefined
  }

  /**
   * Changes a call, whoever changes it at the same time.
   * @param edit undefined: not this one
   * @returns what stands there now; undefined where there is no call or the edit declined
   */
  async change(key: string, edit: (call: RealtimeCall) => RealtimeCall | undefined): Promise<RealtimeCall | undefined> {
    for (let tries = 0; tries < maxTries; tries++) {
      const record = await this.#records.get(key)
      const edited = record && edit(record.value)
      if (!record || !edited) return undefined
      if ((await this.#records.update(key, edited, record.revision)) !== undefined) return edited
    }
    throw new Error('a realtime call is changed by too many at once')
  }

  /** It has ended at its provider, whoever has moved its record since. */
  async forget(key: string): Promise<void> {
    for (let record = await this.#records.get(key); record; record = await this.#records.get(key))
      if (await this.#records.delete(key, record.revision)) return
  }

  /**
   * Lets go of the calls of a run that is proved to have ended, before its unsettled turns are settled from its journal: who
   * meters a call on must know first which of its turns are settled there, or a turn would be paid twice. Killed in between,
   * it is done again and finds fewer calls.
   */
  async leave({ gatewayId, epoch, unsettled }: EndedRun): Promise<void> {
    const isTheirs = (call: RealtimeCall): boolean =>
      call.state === 'metered' && call.gateway_id === gatewayId && call.epoch <= epoch
    for (const [key, known] of this.#view.entries()) {
      if (!isTheirs(known)) continue
      const turns = unsettled.flatMap(({ in_call }) => (in_call?.call_id === known.call_id ? [in_call.turn_id] : []))
      await this.change(key, call =>
        isTheirs(call)
          ? { ...call, state: 'left', left_turns: [...call.left_turns, ...turns].slice(-MAX_LEFT_TURNS) }
          : undefined,
      )
    }
  }

  async close(): Promise<void> {
    await this.#view.close()
  }
}

/** Ids are the provider's: hashed, they fit a key whatever is in them. */
export function keyOfCall(projectId: string, callId: string): string {
  return realtimeCallKey(projectId, createHash('sha256').update(callId).digest('hex').slice(0, 40))
}
