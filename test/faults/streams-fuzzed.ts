import { pureScenario } from './pure-scenario.ts'

/** However a stream is cut into chunks, and wherever it breaks off, its usage is that of the same bytes in one piece. */
export const streamsFuzzed = pureScenario({
  name: 'streams-fuzzed',
  promise: 'however a stream is chunked or cut off, its usage is that of the same bytes in one piece',
  program: 'fuzz-streams.ts',
  full: { runs: 100_000, repeatedMiB: 16 },
  small: { runs: 50, repeatedMiB: 2 },
  mutant: {
    name: 'an event whose blank line is split between two chunks does not end',
    size: { runs: 400, repeatedMiB: 1 },
    replacements: [
      {
        file: 'packages/usage/src/sse-framer.ts',
        from: 'this.#keep(bytes.subarray(eventStart), lineStart - eventStart)',
        to: 'this.#keep(bytes.subarray(eventStart), 0)',
      },
    ],
  },
})
