import { zstdDecompressSync } from 'node:zlib'
import type { UsageRecordedData } from '@sluice/contracts'
import { type CompiledPriceBook, compilePriceBook, parsePriceBook, rateRecorded } from '@sluice/pricing'
import type { TestStack } from '@sluice/test-env'
import pg from 'pg'
import type { Outcome } from './scenario.ts'

interface BookRow {
  price_book_id: string
  project_id: string | null
  effective_at: Date
  body: string
}

interface Posting {
  events: number
  cost: bigint
}

/**
 * Rates every event of the usage log again: by the event and by the books that PostgreSQL keeps, whose content must be that of
 * their names, and nothing else. What comes out must be what the ledger has posted, batch by batch and project by project.
 */
export async function rerateLedger(stack: TestStack): Promise<Outcome> {
  const client = new pg.Client({ connectionString: stack.databaseUrls.billing })
  await client.connect()
  try {
    const books = await readBooks(client)
    const found = { events: 0, withOwnPrices: 0, cost: 0n, wrong: [] as string[], wrongBook: [] as string[] }
    const rerated = new Map<string, Posting>()
    const settled = new Set<string>()
    for (const { batch_id, content } of (
      await client.query<{ batch_id: string; content: Buffer }>(
        'select batch_id, content from billing.usage_batches order by batch_id',
      )
    ).rows)
      for (const event of readLines(content)) {
        // What several have settled is in the log as often, and posted once.
        const { project_id: projectId } = event.identity
        if (event.settlement_key !== undefined) {
          const key = `${projectId} ${event.settlement_key}`
          if (settled.has(key)) continue
          settled.add(key)
        }
        const book = books.get(event.price_book_id)
        const override = books.get(event.override_price_book_id ?? '')
        const isOfItsTime =
          isInForce(book, null, event) &&
          (event.override_price_book_id === undefined || isInForce(override, projectId, event))
        if (!book || !isOfItsTime) {
          found.wrongBook.push(event.event_id)
          continue
        }
        const rating = rateRecorded({ book: book.compiled, override: override?.compiled }, event)
        if (rating.cost_nano_usd !== event.cost_nano_usd) found.wrong.push(event.event_id)
        found.events += 1
        if (override) found.withOwnPrices += 1
        found.cost += BigInt(rating.cost_nano_usd)
        const key = `${batch_id} ${projectId} ${event.identity.account_id}`
        const before = rerated.get(key) ?? { events: 0, cost: 0n }
        rerated.set(key, { events: before.events + 1, cost: before.cost + BigInt(rating.cost_nano_usd) })
      }
    const off = await comparePostings(client, rerated)
    const none = (promise: string, ids: readonly string[]) => ({
      promise,
      kept: ids.length === 0,
      found: `${ids.length}${ids.length > 0 ? ` (${ids.slice(0, 3).join(', ')}…)` : ''}`,
    })
    return {
      figures: {
        'events rated again': found.events,
        'of these at prices of the project’s own': found.withOwnPrices,
        'price books': books.size,
        'their cost, nano-USD': String(found.cost),
      },
      kept: [
        none('events that name a book that was not in force when they were let in', found.wrongBook),
        none('events that cost something else, rated again', found.wrong),
        none('postings that are not the sum of their events, rated again', off),
      ],
    }
  } finally {
    await client.end()
  }
}

type Book = BookRow & { compiled: CompiledPriceBook }

async function readBooks(client: pg.Client): Promise<Map<string, Book>> {
  const { rows } = await client.query<BookRow>(
    'select price_book_id, project_id, effective_at, body from billing.price_books',
  )
  return new Map(
    rows.map(row => [
      row.price_book_id,
      { ...row, compiled: compilePriceBook(parsePriceBook(row.body, row.price_book_id), row.price_book_id) },
    ]),
  )
}

/** The catalogue's or the project's own, and begun by then. */
function isInForce(book: Book | undefined, projectId: string | null, { admitted_at_ms }: UsageRecordedData): boolean {
  return book?.project_id === projectId && book.effective_at.getTime() <= admitted_at_ms
}

function readLines(content: Buffer): UsageRecordedData[] {
  return zstdDecompressSync(content)
    .toString()
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as UsageRecordedData)
}

async function comparePostings(client: pg.Client, rerated: ReadonlyMap<string, Posting>): Promise<string[]> {
  const { rows } = await client.query<{ key: string; events: number; cost: string }>(
    `select batch_id || ' ' || project_id || ' ' || account_id as key, event_count as events, cost_nano_usd::text as cost
      from billing.ledger_transactions where kind = 'usage'`,
  )
  const posted = new Map(rows.map(({ key, events, cost }) => [key, { events, cost: BigInt(cost) }]))
  return [...new Set([...posted.keys(), ...rerated.keys()])].filter(key => {
    const [one, other] = [posted.get(key), rerated.get(key)]
    return one?.events !== other?.events || one?.cost !== other?.cost
  })
}
