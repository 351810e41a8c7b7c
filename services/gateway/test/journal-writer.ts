import { openSync, writeSync } from 'node:fs'
import { connectBus } from '@sluice/bus'
import { openJournal } from '../src/journal/journal.ts'
import type { OpenRecord, UsageDraft } from '../src/journal/open-record.ts'
import { draftOf, log, openRecord, projects, rate } from './journal-env.ts'

/*
 * A gateway that does nothing but write its journal until it is killed. Each line of its witness file is a fact that it must
 * not take back: `open <event id>`, `close <event id> <partition> <seq>`. With a root its journal is replicated, and a fact is one
 * that has come back as secured.
 */
const [directory = '', witness = '', url = '', user = '', password = '', root] = process.argv.slice(2)
const fd = openSync(witness, 'a')
const bus = await connectBus({ url, user, password }, 'gateway', log)
const sizes = { segmentBytes: 64 * 1024, reserveBytes: 64 * 1024 }
const journal = await openJournal({
  directory,
  bus,
  rate,
  log,
  ...sizes,
  ...(root === undefined ? {} : { mode: 'replicated', root }),
})
const say = (line: string): void => void writeSync(fd, `${line}\n`)
say(`ready ${journal.gatewayId} ${journal.epoch}`)

/** Each call holds money of a lease of its own. */
function holding(index: number): OpenRecord {
  const unit = { budget_id: 'bud_1', copy: '', window_start_ms: 0, unit: 'usd' } as const
  return { ...openRecord(projects[index % projects.length]), holds: [{ ...unit, parts: [[`lease_${index}`, 1_000]] }] }
}

function settled(open: OpenRecord): UsageDraft {
  const leases = open.holds?.flatMap(({ parts }) => parts.map(([leaseId]): [string, number] => [leaseId, 500])) ?? []
  return { ...draftOf(open), leases, lease_totals: leases }
}

function call(index: number): void {
  const record = holding(index)
  journal.open(record)
  say(`open ${record.event_id}`)
  journal.checkpoint({
    event_id: record.event_id,
    at_ms: Date.now(),
    output_bytes: 40,
    quantities: { in_text: 11, out_text: 10 },
    provenance: { in_text: 'measured', out_text: 'estimated' },
    http_status: 200,
  })
  setImmediate(() => {
    const { partition, seq } = journal.close(settled(record), { urgent: index % 40 === 0 })
    say(`close ${record.event_id} ${partition} ${seq}`)
    setImmediate(call, index + 3)
  })
}

/** One attempt of four is never closed. */
function securedCall(index: number): void {
  const record = holding(index)
  journal.open(record, error => {
    if (error) throw error
    say(`open ${record.event_id}`)
    if (index % 4 === 3) return securedCall(index + 3)
    const { partition, seq } = journal.close(settled(record), {
      urgent: false,
      written: () => {
        say(`close ${record.event_id} ${partition} ${seq}`)
        securedCall(index + 3)
      },
    })
  })
}
for (let i = 0; i < 3; i++) root === undefined ? call(i) : securedCall(i)
