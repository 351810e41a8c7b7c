import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const source = fileURLToPath(new URL('.', import.meta.url))
const files = readdirSync(source, { recursive: true, encoding: 'utf8' })
const replacing = ['usage_raw_v1', 'usage_hourly_v2', 'refused_calls_v1']

test('every query of a table that replaces rows says final', () => {
  const queries = files
    .filter(file => file.endsWith('.ts') && !file.endsWith('.test.ts'))
    .flatMap(file => readFileSync(join(source, file), 'utf8').match(/\b(?:from|join)\s+\w+_v1\b\s*\w*/gi) ?? [])
    .filter(query => replacing.some(table => query.includes(table)))
  assert.ok(queries.length >= 5, 'the search finds the queries')
  for (const query of queries) assert.match(query, /_v1\s+final$/i)
})

test('no table is filled by a materialized view, and every column says what it means', () => {
  const steps = files.filter(file => file.endsWith('.sql'))
  assert.ok(steps.length >= 3)
  for (const file of steps) {
    const sql = readFileSync(join(source, file), 'utf8')
    assert.doesNotMatch(sql, /materialized\s+view/i, file)
    const columns = sql.match(/^ {2}(?:add column if not exists )?[a-z_]+ [A-Z][^\n]*/gm) ?? []
    assert.ok(columns.length > 0)
    for (const column of columns) assert.match(column, / comment '.+'(?: after [a-z_]+)?[,;]?$/, `${file}: ${column}`)
    // The key holds only what a version of the same event never changes.
    if (/create table/.test(sql)) assert.match(sql, /order by \(project_id, /)
  }
})
