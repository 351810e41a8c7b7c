import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createLogger } from '@sluice/runtime'
import { jsonOf } from '../../test/journal-env.ts'
import type { UsageLine, UsageSource } from '../usage-publisher.ts'
import { closeLine, closePrefix } from './close-line.ts'
import { epochSource } from './epoch-source.ts'
import { encodeFrames, recordType } from './record.ts'
import { segmentPath } from './segment.ts'

const prefix = closePrefix('gw_1', 1)
const open = { type: recordType.open, json: '{"event_id":"a"}' }
const close = (partition: number, seq: number) =>
  closeLine(prefix, partition, seq, { json: JSON.stringify({ event_id: `${partition}-${seq}`, note: 'ä' }) })

async function linesOf(source: UsageSource): Promise<UsageLine[]> {
  const lines: UsageLine[] = []
  for (let next = await source.next(); next.length > 0; next = await source.next()) lines.push(...next)
  return lines
}

test('the events of an epoch are the same from memory and from its files, and nothing else is', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-source-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const events = [close(0, 1), close(7, 123_456), close(0, 2)]
  const [first, second, third] = events
  assert.ok(first && second && third)
  // One piece has no event at all: what is behind it is found all the same.
  const pieces = [[open, first, open], [open, open], [second], [open, third]].map(encodeFrames)
  writeFileSync(segmentPath(directory, 1, 1), Buffer.concat(pieces))
  const limit = { segment: 1, offset: pieces.reduce((sum, piece) => sum + piece.length, 0) }
  const options = { directory, gatewayId: 'gw_1', epoch: 1, before: [], from: () => 1, limit: () => limit }
  const log = createLogger('gateway', 'silent')
  const recent = [...pieces]
  const fromMemory = epochSource({ ...options, log, recent: () => recent.shift() })
  const fromFiles = epochSource({ ...options, log })
  for (const source of [fromMemory, fromFiles]) {
    const lines = await linesOf(source)
    assert.deepEqual(
      lines.map(({ partition, seq, json }) => [partition, seq, json.toString()]),
      events.map(jsonOf).map(json => {
        const { partition, seq } = JSON.parse(json) as { partition: number; seq: number }
        return [partition, seq, json]
      }),
    )
    await source.close()
  }
})
