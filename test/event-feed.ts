import type { Subscription } from '@nats-io/transport-node'
import type { CallRefusedData, UsageRecordedData } from '@sluice/contracts'
import type { TestStack } from '@sluice/test-env'

/** Every usage event of a stack from now on, as it stands on the bus. */
export class EventFeed {
  readonly all: UsageRecordedData[] = []

  readonly #subscription: Subscription
  /** What was asked for by tag, and how much of `all` it has been looked for in. */
  readonly #byTag = new Map<string, { upTo: number; found: Map<string, UsageRecordedData[]> }>()

  constructor(stack: TestStack) {
    this.#subscription = stack.natsAdmin.subscribe('usage.recorded.v1.*', {
      callback: (_error, message) => {
        for (const line of message.string().split('\n'))
          if (line !== '') this.all.push(JSON.parse(line) as UsageRecordedData)
      },
    })
  }

  /** Hears no more. */
  close(): void {
    this.#subscription.unsubscribe()
  }

  /** Events whose caller gave this tag, by the tag's value. */
  byTag(name: string): Map<string, UsageRecordedData[]> {
    const { upTo, found } = this.#byTag.get(name) ?? { upTo: 0, found: new Map<string, UsageRecordedData[]>() }
    for (const event of this.all.slice(upTo)) {
      const value = event.claimed.tags?.[name]
      if (value !== undefined) found.set(value, [...(found.get(value) ?? []), event])
    }
    this.#byTag.set(name, { upTo: this.all.length, found })
    return found
  }
}

/** Every call of a stack that is refused from now on. */
export class RefusalFeed {
  readonly all: CallRefusedData[] = []

  constructor(stack: TestStack) {
    stack.natsAdmin.subscribe('call.refused.v1.*', {
      callback: (_error, message) => {
        for (const line of message.string().split('\n'))
          if (line !== '') this.all.push(JSON.parse(line) as CallRefusedData)
      },
    })
  }
}
