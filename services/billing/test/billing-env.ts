import { type Bus, connectBus, consumeBatches, type JsMsg } from '@sluice/bus'
import type { UsageRecordedData } from '@sluice/contracts'
import { type Kysely, openDatabase, openTenants, runMigrations } from '@sluice/postgres'
import { compilePriceBook, priceBookId, rate, serialisePriceBook } from '@sluice/pricing'
import { importCatalogue } from '@sluice/pricing/catalogue'
import { createLogger, type Logger } from '@sluice/runtime'
import {
  makeUsageEvent,
  type TestNats,
  type TestScope,
  testNats,
  testPostgres,
  type UsageOverrides,
} from '@sluice/test-env'
import { sql } from 'kysely'
import { adjustmentStore } from '../src/adjustment-store.ts'
import type { BillingDeps } from '../src/app.ts'
import { archiveDayStore } from '../src/archive/archive-day-store.ts'
import { archiveReader } from '../src/archive/archive-reader.ts'
import type { ArchiveStorage } from '../src/archive/archive-storage.ts'
import { usageRecorded } from '../src/consumers/usage-recorded.ts'
import { type CreditDraft, listCredits, postCredit } from '../src/credit-store.ts'
import { isolateTenants } from '../src/db/isolate-tenants.ts'
import { migrations } from '../src/db/migrations/index.ts'
import type { Tables } from '../src/db/schema.ts'
import { ledgerStore } from '../src/ledger-store.ts'
import { openMarksPublisher } from '../src/marks-publisher.ts'
import { findPrepaid, setPrepaid } from '../src/prepaid-store.ts'
import { priceBookStore } from '../src/price-book-store.ts'
import { priceBookShelf } from '../src/price-books.ts'
import { usageHourStore } from '../src/usage-hour-store.ts'
import { usageLogStore } from '../src/usage-log-store.ts'
import { usageStore } from '../src/usage-store.ts'

export const log: Logger = createLogger('billing', 'silent')

const { book } = importCatalogue({ atMs: Date.parse('2026-11-23T00:00:00Z') })
export const bookId = priceBookId(book)
export const priceBook = compilePriceBook(book)

/** A valid event whose stamp is what the price book says. */
export function ratedEvent(overrides: UsageOverrides = {}): UsageRecordedData {
  const event = makeUsageEvent({ price_book_id: bookId, ...overrides })
  const { line_items, cost_nano_usd, priced } = rate(
    { book: priceBook },
    {
      provider: event.provider,
      model: event.requested_model,
      quantities: event.quantities,
      modifiers: event.modifiers,
    },
  )
  return { ...event, line_items, cost_nano_usd, priced, ...overrides, identity: event.identity }
}

/** A database that knows the catalogue, which each test gets a copy of: migrations take longer than most of the tests. */
let template: Promise<string> | undefined

async function makeTemplate(): Promise<string> {
  const { url } = await testPostgres({ after: () => {} }, { schemas: ['billing'], shared: true })
  const database = openDatabase<Tables>({ url, schema: 'billing' })
  try {
    await runMigrations(database.db, 'billing', migrations)
    await isolateTenants(database.db)
    await priceBookStore(database.db).insert({
      entry: { price_book_id: bookId, kind: 'catalogue', effective_at_ms: 1, size_bytes: 1 },
      body: serialisePriceBook(book),
    })
  } finally {
    // Copied where nobody is connected to it.
    await database.close()
  }
  return new URL(url).pathname.slice(1)
}

/** Billing's stores on a fresh database that knows the catalogue. */
export async function billingStores(t: TestScope, storage?: ArchiveStorage) {
  template ??= makeTemplate()
  const { url } = await testPostgres(t, { template: await template })
  const database = openDatabase<Tables>({ url, schema: 'billing' })
  t.after(() => database.close())
  const priceBooks = priceBookStore(database.db)
  const usage = usageStore(database.db)
  const days = archiveDayStore(database.db)
  const log = usageLogStore(database.db, archiveReader({ storage, days }))
  const adjustments = adjustmentStore(database.db)
  const hours = usageHourStore(database.db)
  const ledger = ledgerStore(database.db)
  const sumLedger = async (): Promise<bigint> => {
    const { rows } = await sql<{
      total: string | null
    }>`select sum(cost_nano_usd) as total from ledger_transactions`.execute(database.db)
    return BigInt(rows[0]?.total ?? 0)
  }
  const tenants = openTenants<Tables>({ url, schema: 'billing', maxConnections: 3 })
  t.after(() => tenants.close())
  /** What routes are answered from. */
  const forRequests = {
    ledger: ledgerStore(tenants.db),
    priceBooks: priceBookStore(tenants.db),
    ...balanceRoutes(database.db, tenants.db),
  }
  return {
    db: database.db,
    tenants: tenants.db,
    forRequests,
    priceBooks,
    usage,
    ledger,
    sumLedger,
    days,
    log,
    adjustments,
    hours,
  }
}

/** What the routes of balances are answered from. */
export function balanceRoutes(owner: Kysely<Tables>, tenants: Kysely<Tables>) {
  return {
    listCredits: (...args: Parameters<BillingDeps['listCredits']>) => listCredits(tenants, ...args),
    findPrepaid: (projectId: string) => findPrepaid(tenants, projectId),
    postCredit: (draft: CreditDraft) => postCredit(owner, draft),
    setPrepaid: (...args: Parameters<BillingDeps['setPrepaid']>) => setPrepaid(owner, ...args),
  }
}

export type BillingStores = Awaited<ReturnType<typeof billingStores>>

export interface BillingBus {
  nats: TestNats
  bus: Bus
  /** Closes something after the test, last given first, and before the server: a drain waits for its server. */
  defer: (close: () => Promise<void>) => void
}

export async function billingBus(t: TestScope): Promise<BillingBus> {
  const closes: (() => Promise<void>)[] = []
  // Hooks run in the order they are given: this one before the one that stops the server.
  t.after(async () => {
    for (const close of closes.reverse()) await close()
  })
  const nats = await testNats(t)
  const bus = await connectAsBilling(nats)
  closes.push(() => bus.close())
  return { nats, bus, defer: close => void closes.push(close) }
}

function connectAsBilling(nats: TestNats): Promise<Bus> {
  const { user, pass } = nats.users.billing
  return connectBus({ url: nats.url, user, password: pass }, 'billing', log)
}

/** What the consumer does with messages, wired as the service wires it. */
export async function billingHandler(env: Pick<BillingBus, 'bus' | 'defer'>, stores: BillingStores) {
  const marks = await openMarksPublisher(env.bus, log)
  env.defer(() => marks.close())
  const shelf = priceBookShelf(stores.priceBooks)
  return usageRecorded({ usage: stores.usage, shelf, marks, onBalances: () => {}, log })
}

/** The consumer as the service runs it, on a connection of its own. `around` may fail before or after what it wraps. */
export async function runConsumer(
  env: BillingBus,
  stores: BillingStores,
  around: (handle: () => Promise<void>, messages: JsMsg[]) => Promise<void> = handle => handle(),
): Promise<{ close: () => Promise<void> }> {
  const bus = await connectAsBilling(env.nats)
  const handle = await billingHandler(env, stores)
  const consumer = await consumeBatches(bus, 'billing-ledger', {
    handle: messages => around(() => handle(messages), messages),
    maxMessages: 16,
    log,
  })
  let closing: Promise<void> | undefined
  // First the connection: a consumer that waits for messages ends with it at once.
  const close = (): Promise<void> => {
    closing ??= bus.close().then(() => consumer.close())
    return closing
  }
  env.defer(close)
  return { close }
}

export const sumOf = (events: readonly UsageRecordedData[]): bigint =>
  events.reduce((total, event) => total + BigInt(event.cost_nano_usd), 0n)

export async function readAll(lines: AsyncIterable<string>): Promise<UsageRecordedData[]> {
  const events: UsageRecordedData[] = []
  for await (const line of lines) events.push(JSON.parse(line))
  return events
}
