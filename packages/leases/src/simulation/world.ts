import { SimulatedClock } from './clock.ts'

/** How bad a network is. */
export interface Weather {
  /** Part of the messages that never come. */
  loss: number
  /** Part of the messages that come twice. */
  doubled: number
  slowestMs: number
}

export const fair: Weather = { loss: 0, doubled: 0, slowestMs: 5 }

/** Clock, chance and network of one simulated run; the same seed gives the same run. */
export class World {
  readonly clock = new SimulatedClock()
  readonly #random: () => number
  weather: Weather = fair
  /** Nodes that nobody hears, and that hear nobody. */
  readonly cutOff = new Set<string>()
  readonly violations: string[] = []

  constructor(seed: number) {
    this.#random = seededRandom(seed)
  }

  get nowMs(): number {
    return this.clock.nowMs
  }

  /** An integer from `least` to `most`, both included. */
  between(least: number, most: number): number {
    return least + Math.floor(this.#random() * (most - least + 1))
  }

  chance(part: number): boolean {
    return this.#random() < part
  }

  /** Delivers a message: late, twice, in another order than others, or never. */
  send(from: string, to: string, deliver: () => void): void {
    for (let copies = this.chance(this.weather.doubled) ? 2 : 1; copies > 0; copies--) {
      if (this.chance(this.weather.loss) || this.cutOff.has(from)) continue
      this.clock.after(this.between(1, this.weather.slowestMs), () => {
        if (!this.cutOff.has(to)) deliver()
      })
    }
  }

  violate(what: string): void {
    if (this.violations.length < 20) this.violations.push(`${this.nowMs} ms: ${what}`)
  }
}

function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let value = Math.imul(state ^ (state >>> 15), state | 1)
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61)
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296
  }
}
