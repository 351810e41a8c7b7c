import assert from 'node:assert/strict'
import { test } from 'node:test'
import { applyInHalves } from './apply-in-halves.ts'

interface Part {
  numbers: number[]
  reason?: string
}

function harness(poison: readonly number[], options: { buryFails?: boolean } = {}) {
  const applied: Part[] = []
  const refusal = Object.assign(new Error('invalid byte sequence: "the value"'), { code: '22021' })
  const run = (parts: Part[]) =>
    applyInHalves(parts, {
      apply: async some => {
        for (const part of some)
          if (part.numbers.some(number => poison.includes(number)) && (part.reason === undefined || options.buryFails))
            throw refusal
        applied.push(...some)
        return some.length
      },
      isRefusal: error => error === refusal,
      split: ({ numbers }) => {
        const middle = numbers.length >> 1
        return numbers.length > 1
          ? [{ numbers: numbers.slice(0, middle) }, { numbers: numbers.slice(middle) }]
          : undefined
      },
      bury: (part, reason) => (part.reason === undefined ? { ...part, reason } : undefined),
    })
  return { applied, run }
}

test('everything but what is refused is applied, in order, and the reason names a code and no value', async () => {
  const { applied, run } = harness([4, 9])
  await run([{ numbers: [1, 2, 3] }, { numbers: [4] }, { numbers: [5, 6, 7, 8, 9] }, { numbers: [10] }])
  assert.deepEqual(
    applied.flatMap(part => part.numbers),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  )
  assert.deepEqual(
    applied.filter(part => part.reason !== undefined),
    [
      { numbers: [4], reason: 'refused by the store: 22021' },
      { numbers: [9], reason: 'refused by the store: 22021' },
    ],
  )
})

test('what nobody refuses is one commit', async () => {
  const { run } = harness([])
  assert.deepEqual(await run([{ numbers: [1] }, { numbers: [2, 3] }]), [2])
})

test('a store that is away buries nothing', async () => {
  const away = new Error('connect ECONNREFUSED')
  const burials: unknown[] = []
  await assert.rejects(
    applyInHalves([1, 2], {
      apply: () => Promise.reject(away),
      isRefusal: () => false,
      split: () => undefined,
      bury: item => {
        burials.push(item)
        return undefined
      },
    }),
    away,
  )
  assert.deepEqual(burials, [])
})

test('what cannot even be buried is thrown instead of going round for ever', async () => {
  const { run } = harness([2], { buryFails: true })
  await assert.rejects(run([{ numbers: [1, 2] }]), { code: '22021' })
})
