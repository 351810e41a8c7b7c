import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** A rule of `deploy/alerts.yaml` that compares metrics with a number. */
export interface AlertRule {
  name: string
  /** Which metrics it looks at. */
  metric: RegExp
  above: number
}

const rules = join(import.meta.dirname, '..', '..', 'deploy', 'alerts.yaml')

/** The rules of the form `max by (…) (metric) > number`; a metric may be named by a pattern. */
export function readAlertRules(): AlertRule[] {
  const text = readFileSync(rules, 'utf8')
  return [...text.matchAll(/- alert: (\w+)\n(?:\s*#.*\n)*\s*expr: max by \(\w+\) \((.+)\) > (\d+)\n/g)].map(
    ([, name = '', selector = '', above]) => ({
      name,
      metric: new RegExp(`^(${/__name__=~"(.+)"/.exec(selector)?.[1] ?? selector})$`),
      above: Number(above),
    }),
  )
}

/**
 * Names of the alarms that a service's metrics (Prometheus text) would ring.
 * @param above instead of the numbers in the rules
 */
export function ringingAlarms(metrics: string, above?: number): string[] {
  const values = metrics.split('\n').flatMap(line => {
    const match = /^([a-z_]+)(?:\{.*\})? ([0-9.e+-]+)$/.exec(line)
    return match?.[1] ? [{ name: match[1], value: Number(match[2]) }] : []
  })
  return readAlertRules()
    .filter(rule => values.some(({ name, value }) => rule.metric.test(name) && value > (above ?? rule.above)))
    .map(rule => rule.name)
}
