import { type Bus, followBucket, type KvView, openBucket } from '@sluice/bus'
import { ChargedContainer } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { counter } from '@sluice/telemetry'
import { RecentContainers } from '../recent-containers.ts'

const untold = counter(
  'gateway_containers_untold_total',
  'Uses of containers that other gateways were not told of: these may count them again',
)

/** Records that wait for NATS; what comes on top is known to this process alone. */
const maxWaiting = 1_000

/**
 * The containers that code ran in, in memory from KV `containers`, where every gateway says what it has counted of each: a
 * turn that goes through another one counts nothing twice. Nobody waits for a record; the view is milliseconds behind, so that
 * two turns in one container at the same time, on two gateways, may both count its first minutes.
 */
export class ContainersView {
  readonly recent: RecentContainers
  readonly #view: KvView<ChargedContainer>

  private constructor(recent: RecentContainers, view: KvView<ChargedContainer>) {
    this.recent = recent
    this.#view = view
  }

  static async open(bus: Bus, log: Logger): Promise<ContainersView> {
    const writer = await openBucket(bus, 'containers', ChargedContainer)
    let waiting = 0
    const recent = new RecentContainers((key, container) => {
      if (waiting >= maxWaiting) return untold.inc()
      waiting++
      writer
        .put(key, container)
        .catch(err => {
          untold.inc()
          log.warn({ err }, 'the use of a container is not told to other gateways')
        })
        .finally(() => waiting--)
    })
    const view = await followBucket(bus, 'containers', ChargedContainer, {
      log,
      // What the bucket lets go by its age is not told to those who follow it: kept there alone, it would stay for ever.
      keep: false,
      onChange: (key, container) => {
        if (container) recent.note(key, container)
      },
    })
    return new ContainersView(recent, view)
  }

  async close(): Promise<void> {
    await this.#view.close()
  }
}
