import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { copyFileSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { openClickhouse, runClickhouseMigrations } from '@sluice/clickhouse'
import { atFileEnd, makeUsageEvent, testFolder } from '@sluice/test-env'
import { clickhouseSteps } from '../src/migrate.ts'
import { usageHourStore } from '../src/usage-hour-store.ts'
import { toUsageRow } from '../src/usage-row.ts'
import { usageRowStore } from '../src/usage-row-store.ts'
import { usageSumStore } from '../src/usage-sum-store.ts'

// A process has one embedded ClickHouse at a time: the next file opens its own when this one is closed.
const folder = testFolder({ after: clean => atFileEnd(async () => clean()) })
const clickhouse = await openClickhouse({ chdbDir: join(folder, 'chdb') })
atFileEnd(() => clickhouse.close())

test('hours that were rolled up before rollups said who answered are right after the migration', async () => {
  const { writer, queries } = clickhouse
  const earlier = join(folder, 'steps')
  mkdirSync(earlier)
  for (const step of readdirSync(clickhouseSteps).filter(file => /^00[1-5]-.*\.sql$/.test(file)))
    copyFileSync(join(clickhouseSteps, step), join(earlier, step))
  assert.equal((await runClickhouseMigrations(writer, earlier)).length, 5)

  const projectId = randomUUID()
  const hour = Date.UTC(2026, 8, 30, 23)
  const called = (served_by: string, cost_nano_usd: number, at = hour) =>
    makeUsageEvent({ identity: { project_id: projectId }, served_by, cost_nano_usd, admitted_at_ms: at })
  const settled = called('openai', 40)
  const rows = [called('simulator', 1), called('simulator', 2), called('openai', 10), settled]
  // Across the end of a month, and one whose cost was put right later.
  const inserted = [
    ...rows.map(event => toUsageRow(event, 1)),
    toUsageRow(called('simulator', 100, hour + 3_600_000), 1),
    { ...toUsageRow(settled, 1), version: 1, cost_nano_usd: 20, costs: { in_text: 20 } },
  ]
  await usageRowStore(writer, queries).insertUsage(inserted, 'before')
  await writer.command(
    `insert into usage_hourly_v1
    select project_id, toStartOfHour(admitted_at) as hour, team_id, member_id, room, key_id, app, provider, model, 7,
      count(), countIf(status = 'completed'), sum(input_tokens), sum(output_tokens),
      sumMap(quantities), sumMap(costs), sum(cost_nano_usd)
    from usage_raw_v1 final
    group by project_id, hour, team_id, member_id, room, key_id, app, provider, model`,
  )

  const step = '006-create-usage-hourly-v2'
  assert.deepEqual(await runClickhouseMigrations(writer, clickhouseSteps), [step])
  const fromRows = usageSumStore({ queries, listDirtyHours: async () => undefined })
  const fromHours = usageSumStore({ queries, listDirtyHours: async () => [] })
  const hours = usageHourStore(queries)
  const span = { fromMs: hour, toMs: hour + 7_200_000, after: undefined, limit: 10 }
  const check = async () => {
    const sums = await fromHours.sumByModel({ projectId }, 'month', 10)
    assert.deepEqual(
      sums.map(sum => [sum.start, sum.simulated, sum.costs]),
      [
        [Date.UTC(2026, 8, 1) / 1000, false, { in_text: '30' }],
        [Date.UTC(2026, 8, 1) / 1000, true, { in_text: '3' }],
        [Date.UTC(2026, 9, 1) / 1000, true, { in_text: '100' }],
      ],
    )
    assert.deepEqual(sums, await fromRows.sumByModel({ projectId }, 'month', 10))
    assert.deepEqual(await hours.sumRollups(span), await hours.sumRows(span))
    assert.deepEqual(
      (await hours.sumRollups(span)).map(row => [row.events, row.cost_nano_usd]),
      [
        [4, '33'],
        [1, '100'],
      ],
    )
  }
  await check()

  // It ended before anybody had noted so.
  await writer.command(`delete from migrations_v1 where name = '${step}'`)
  assert.deepEqual(await runClickhouseMigrations(writer, clickhouseSteps), [step])
  await check()
})
