import type { NumberDirective } from './directives.ts'

type Waits = { readonly [Name in NumberDirective]?: number }

/** How real models speak, as the waits of a call: what the call orders itself wins over them. */
const CADENCES: { readonly [name: string]: Waits } = {
  /** A mid-sized model: 0.4 s until it begins, then about 90 tokens a second. */
  typical: { first_delay_ms: 400, delay_ms: 22, tokens_per_chunk: 2 },
  /** A large model that has thought for a while: about 25 tokens a second. */
  slow: { first_delay_ms: 2_500, delay_ms: 40, tokens_per_chunk: 1 },
  /** Chunks that a proxy or a batching engine has gathered: eight at a time. */
  bursty: { first_delay_ms: 600, delay_ms: 160, tokens_per_chunk: 2, burst: 8 },
}

export function findCadence(name: string): Waits | undefined {
  return Object.hasOwn(CADENCES, name) ? CADENCES[name] : undefined
}
