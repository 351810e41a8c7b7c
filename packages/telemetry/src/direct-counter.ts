/** One series of a {@link DirectCounter}. */
export interface CounterSeries {
  inc: () => void
}

/**
 * A counter for what happens on every call: its series are bound once, as those of a `DirectHistogram`. Shown by the
 * client's registry: it has the members that the registry asks of a metric.
 */
export class DirectCounter {
  readonly type = 'counter'
  readonly aggregator = 'sum'
  readonly name: string
  readonly help: string
  readonly #labelNames: readonly string[]
  readonly #series = new Map<string, { labels: Record<string, string>; value: number }>()

  constructor(name: string, help: string, labelNames: readonly string[]) {
    this.name = name
    this.help = help
    this.#labelNames = labelNames
  }

  /** The series of these label values, in the order of the names. */
  bind(...values: readonly string[]): CounterSeries {
    const key = values.join('\0')
    let series = this.#series.get(key)
    if (!series) {
      const labels: Record<string, string> = {}
      for (const [i, name] of this.#labelNames.entries()) labels[name] = values[i] ?? ''
      series = { labels, value: 0 }
      this.#series.set(key, series)
    }
    const bound = series
    return {
      inc() {
        bound.value++
      },
    }
  }

  /** What the registry shows. */
  async get() {
    const { name, help, type, aggregator } = this
    return { name, help, type, aggregator, values: [...this.#series.values()] }
  }

  /** Forgets what was counted. */
  reset(): void {
    for (const series of this.#series.values()) series.value = 0
  }
}
