import { pureScenario } from './pure-scenario.ts'

/** Costs are integers that add up, line by line as big integers say, and the event alone gives the same again. */
export const ratingsAddUp = pureScenario({
  name: 'ratings-add-up',
  promise:
    'a total is the sum of its lines, each the half-even of quantity × rate × ratio, and an event rates again from itself',
  program: 'rate-events.ts',
  full: { events: 1_000_000 },
  small: { events: 5_000 },
  mutant: {
    name: 'a half is always rounded up',
    size: { events: 20_000 },
    replacements: [
      {
        file: 'packages/pricing/src/half-even.ts',
        from: 'return floor % 2 === 0 ? floor : floor + 1',
        to: 'return floor + 1',
      },
    ],
  },
})
