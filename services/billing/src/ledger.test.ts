import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { makeUsageEvent } from '@sluice/test-env'
import fc from 'fast-check'
import { postUsage } from './ledger.ts'

test('debits equal credits for any usage, and each project gets its own cost', () => {
  const projects = [randomUUID(), randomUUID(), randomUUID()]
  const usage = fc.record({
    project: fc.nat({ max: 2 }),
    provider: fc.constantFrom('openai', 'anthropic'),
    paid_by: fc.constantFrom('managed', 'own_credential', 'seat'),
    cost: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
  })
  fc.assert(
    fc.property(fc.array(usage, { maxLength: 30 }), rows => {
      const events = rows.map(row =>
        makeUsageEvent({
          identity: { project_id: projects[row.project] ?? '' },
          provider: row.provider,
          paid_by: row.paid_by,
          cost_nano_usd: row.cost,
        }),
      )
      const postings = postUsage(events)
      const sum = (values: bigint[]): bigint => values.reduce((total, value) => total + value, 0n)
      for (const posting of postings) {
        assert.equal(sum(posting.entries.map(entry => entry.amount)), 0n)
        const own = events.filter(event => event.identity.project_id === posting.projectId)
        assert.equal(posting.cost, sum(own.map(event => BigInt(event.cost_nano_usd))))
        const managed = own.filter(event => event.paid_by === 'managed')
        assert.equal(posting.charge, sum(managed.map(event => BigInt(event.cost_nano_usd))))
      }
      assert.equal(sum(postings.map(posting => posting.cost)), sum(events.map(event => BigInt(event.cost_nano_usd))))
    }),
    { numRuns: 60, seed: 21 },
  )
})
