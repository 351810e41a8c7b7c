import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import type { StoredFile } from '@sluice/contracts'
import { books } from '../../test/bounds/bound-witness.ts'
import type { BatchBound } from '../bounds/batch-bound.ts'
import type { Refusal, RefusalBudget } from '../refusal.ts'
import { readFileRequests, readMessageRequests } from './batch-requests.ts'
import { boundMessageRequests, boundOfFile, FileBound, keptBound } from './bound-requests.ts'
import { batchTargets } from './openai-batches.ts'

const terms = { prices: books, assumeDearest: false }

const params = (model: string, more = '"max_tokens":60000'): string =>
  `{"model":"${model}",${more},"messages":[{"role":"user","content":"x"}]}`
const message = (id: string, model = 'claude-haiku-4-5', more?: string): string =>
  `{"custom_id":"${id}","params":${params(model, more)}}`
const line = (id: string, model = 'gpt-4o-mini', more?: string): string =>
  `{"custom_id":"${id}","url":"/v1/chat/completions","body":${params(model, more)}}`

/** As the creation of a batch does: read first, bounded then. */
function messageBound(text: string): Promise<BatchBound> {
  const reader = readMessageRequests({ isShared: false })
  reader.write(Buffer.from(text))
  return boundMessageRequests(Readable.from([Buffer.from(text)]), terms, reader.end().count)
}

function fileBound(text: string): BatchBound {
  const reader = readFileRequests(batchTargets, { isShared: false })
  const bound = new FileBound(terms)
  for (const each of [reader, bound]) each.write(Buffer.from(text))
  return bound.total(reader.end().count)
}

test('a batch holds the same however the name of its requests is written', async () => {
  const plain = await messageBound(`{"requests":[${message('a')},${message('b')}]}`)
  const escaped = await messageBound(`{"requ\\u0065sts":[${message('a')},${message('b')}]}`)
  // Twice 60,000 tokens of output at half of $5 a million.
  assert.ok(plain.within().amount('usd', 0) > 2 * 60_000 * 2_500)
  for (const bound of [plain, escaped]) assert.equal(bound.within().unboundedBy, undefined)
  for (const unit of ['usd', 'tokens', 'requests'] as const)
    assert.equal(escaped.within().amount(unit, 0), plain.within().amount(unit, 0), unit)
})

test('requests of a file that are not each found on a line of their own have no bound', () => {
  assert.equal(fileBound(`${line('a')}\n\n${line('b')}\n`).within().unboundedBy, undefined)
  for (const text of [`${line('a')}${line('b')}`, line('a').replace(',"url"', '\n,"url"')])
    assert.notEqual(fileBound(text).within().unboundedBy, undefined)
})

test('a batch of which a request cannot be read, or is too long to be looked at, has no bound', async () => {
  const doubled = '"max_tokens":60000,"max_tokens":60000'
  const long = `"max_tokens":6,"system":"${'x'.repeat(16 * 1024 * 1024)}"`
  for (const [more, why] of [
    [doubled, /cannot be read/],
    ['"max_tokens":60000,"stream":false,"stream":false', /cannot be read/],
    [long, /longer than/],
  ] as const) {
    const bound = await messageBound(`{"requests":[${message('a')},${message('b', 'claude-haiku-4-5', more)}]}`)
    const { unboundedBy = '' } = bound.within()
    assert.match(unboundedBy, why)
    assert.match(unboundedBy, /^requests\.1,/)
    assert.match(fileBound(`${line('a')}\n${line('b', 'gpt-4o-mini', more)}`).within().unboundedBy ?? '', why)
  }
})

test('what is kept of a file tells what its requests for each model can cost', () => {
  const [small, large] = ['gpt-4o-mini', 'gpt-4o']
  const bound = fileBound([line('a', small), line('b', large), line('c', large)].join('\n'))
  const kept = boundOfFile({ requests: { bound: keptBound(bound, terms) } } as StoredFile, terms)
  const alone = fileBound(line('a', small))
  for (const unit of ['usd', 'tokens', 'requests'] as const) {
    assert.equal(kept.within().amount(unit, 0), bound.within().amount(unit, 0), unit)
    assert.equal(kept.within([small]).amount(unit, 0), alone.within().amount(unit, 0), unit)
    const keptAlone = boundOfFile({ requests: { bound: keptBound(alone, terms) } } as StoredFile, terms)
    assert.equal(keptAlone.within().amount(unit, 0), alone.within().amount(unit, 0), unit)
  }
  assert.ok(kept.within([large]).amount('usd', 0) > 10 * kept.within([small]).amount('usd', 0))
})

test('what is kept of a file that took what has no price for free pays for no batch that is to pay the most for it', () => {
  const keptBy = (assumeDearest: boolean): StoredFile => {
    const bound = new FileBound({ ...terms, assumeDearest })
    bound.write(Buffer.from(line('a', 'gpt-unheard-of')))
    return {
      file_id: 'file-1',
      requests: { bound: keptBound(bound.total(1), { ...terms, assumeDearest }) },
    } as StoredFile
  }
  const most = { ...terms, assumeDearest: true }
  assert.throws(() => boundOfFile(keptBy(false), most), { name: 'Refusal', reason: 'budget_not_bounded' })
  assert.ok(
    boundOfFile(keptBy(true), most).within().amount('usd', 0) >
      boundOfFile(keptBy(false), terms).within().amount('usd', 0),
  )
  assert.ok(boundOfFile(keptBy(true), terms))
})

test('what cannot be read may be for any model', () => {
  const bound = fileBound([line('a'), line('b', 'gpt-4o', '"max_tokens":6,"max_tokens":6')].join('\n'))
  assert.match(bound.within(['gpt-4o-mini']).unboundedBy ?? '', /^request 2 of the file,/)
})

test('a file that was uploaded before a hard budget could count it has to be uploaded again', () => {
  const unbounded = { file_id: 'file-1', requests: {} } as StoredFile
  const budget = { budget_id: 'bud_1' } as RefusalBudget
  assert.throws(
    () => boundOfFile(unbounded, terms, budget),
    (error: Refusal) =>
      /"file-1" .*before there was a hard budget. Upload it again/.test(error.message) && error.budget === budget,
  )
})
