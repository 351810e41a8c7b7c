import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { storyStack } from './story-stack.ts'

const rules = readFileSync(join(import.meta.dirname, '..', 'deploy', 'alerts.yaml'), 'utf8')

const { stack } = await storyStack()

/** The metrics that an expression looks at; a pattern of names stands for each of them. */
function metricsOf(expression: string): string[] {
  const names = [...expression.matchAll(/\b(?:sluice|gateway)_(?:\([a-z|]+\)|[a-z_])+/g)].map(([name]) => name)
  return names.flatMap(name => {
    const [, before = '', choice, after = ''] = /^([a-z_]*)\(([a-z|]+)\)([a-z_]*)$/.exec(name) ?? [undefined, name]
    return choice === undefined ? [before] : choice.split('|').map(chosen => `${before}${chosen}${after}`)
  })
}

test('an alarm looks at metrics that exist, and its counters stand at zero before there is anything to count', async () => {
  const expressions = [...rules.matchAll(/^\s*expr: (.+)$/gm)].map(([, expression = '']) => expression)
  assert.ok(expressions.length > 10)
  const shown = await Promise.all(
    Object.values(stack.services).map(async ({ plan }) => {
      const { origin } = new URL(plan.readyUrl)
      return (await fetch(`${origin}/metrics`)).text()
    }),
  )
  const text = shown.join('\n')
  const gauges = [...text.matchAll(/^# TYPE ([a-z_]+) gauge$/gm)].map(([, name]) => name)
  const known = new Set([...gauges, ...(text.match(/^[a-z_]+(?=[{ ])/gm) ?? [])])
  for (const expression of expressions) {
    const metrics = metricsOf(expression)
    assert.ok(metrics.length > 0, expression)
    for (const metric of metrics) assert.ok(known.has(metric), `no service shows ${metric}`)
  }
})
