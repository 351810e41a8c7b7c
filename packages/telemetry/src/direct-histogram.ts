/** One series of a {@link DirectHistogram}. */
export interface HistogramSeries {
  observe: (value: number) => void
}

interface Series {
  labels: Record<string, string>
  /** Not cumulative; the last one is above every bucket. */
  counts: Float64Array
  sum: number
}

/**
 * A histogram for what happens on every call. The Prometheus client looks up the labels of a series at each observation,
 * which is most of its cost; here a series is bound once, and observing is a search through a few numbers. Shown by the
 * client's registry: it has the members that the registry asks of a metric.
 */
export class DirectHistogram {
  readonly type = 'histogram'
  readonly aggregator = 'sum'
  readonly name: string
  readonly help: string
  readonly #labelNames: readonly string[]
  readonly #buckets: readonly number[]
  readonly #series = new Map<string, Series>()

  /** @param buckets upper bounds, ascending */
  constructor(name: string, help: string, options: { labelNames: readonly string[]; buckets: readonly number[] }) {
    this.name = name
    this.help = help
    this.#labelNames = options.labelNames
    this.#buckets = options.buckets
  }

  /** The series of these label values, in the order of the names. */
  bind(...values: readonly string[]): HistogramSeries {
    const key = values.join('\0')
    let series = this.#series.get(key)
    if (!series) {
      const labels: Record<string, string> = {}
      for (const [i, name] of this.#labelNames.entries()) labels[name] = values[i] ?? ''
      series = { labels, counts: new Float64Array(this.#buckets.length + 1), sum: 0 }
      this.#series.set(key, series)
    }
    const buckets = this.#buckets
    const bound = series
    return {
      observe(value) {
        let at = 0
        while (at < buckets.length && value > (buckets[at] as number)) at++
        bound.counts[at] = (bound.counts[at] as number) + 1
        bound.sum += value
      },
    }
  }

  /** What the registry shows. */
  async get() {
    const { name, help, type, aggregator } = this
    return { name, help, type, aggregator, values: [...this.#series.values()].flatMap(series => this.#show(series)) }
  }

  /** Forgets every observation. */
  reset(): void {
    for (const series of this.#series.values()) {
      series.counts.fill(0)
      series.sum = 0
    }
  }

  #show({ labels, counts, sum }: Series) {
    let count = 0
    const buckets = [...this.#buckets, '+Inf'].map((le, i) => {
      count += counts[i] ?? 0
      return { metricName: `${this.name}_bucket`, labels: { le, ...labels }, value: count }
    })
    return [
      ...buckets,
      { metricName: `${this.name}_sum`, labels, value: sum },
      { metricName: `${this.name}_count`, labels, value: count },
    ]
  }
}
