import type { PriceChange } from './price-changes.ts'

/** Changes as lines for a person, a heading for each model; the last line counts them. */
export function formatPriceChanges(changes: readonly PriceChange[]): string {
  if (changes.length === 0) return 'No price changes.\n'
  const lines: string[] = []
  const width = Math.max(...changes.map(change => change.price.length))
  let heading = ''
  for (const change of changes) {
    const next = `${change.provider} ${change.model}`
    if (next !== heading) lines.push(next)
    heading = next
    lines.push(`  ${change.price.padEnd(width)}  ${describe(change)}`)
  }
  const added = changes.filter(change => change.before === undefined).length
  const removed = changes.filter(change => change.after === undefined).length
  lines.push('', `${changes.length - added - removed} changed, ${added} new, ${removed} gone.`)
  return `${lines.join('\n')}\n`
}

function describe({ before, after, unit, change_permille }: PriceChange): string {
  const sign = unit === undefined ? '' : '$'
  const behind = unit === undefined ? '' : ` ${unit}`
  if (before === undefined) return `new: ${sign}${after}${behind}`
  if (after === undefined) return `gone, was ${sign}${before}${behind}`
  const percent = change_permille === undefined ? '' : `  ${percentText(change_permille)}`
  return `${sign}${before} → ${sign}${after}${behind}${percent}`
}

function percentText(permille: number): string {
  const digits = String(Math.abs(permille)).padStart(2, '0')
  const tenths = digits.endsWith('0') ? '' : `.${digits.slice(-1)}`
  return `${permille < 0 ? '-' : '+'}${digits.slice(0, -1)}${tenths} %`
}
