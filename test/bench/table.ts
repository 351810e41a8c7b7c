/** A table with its title and what is to be known to read it. */
export interface Table {
  title: string
  note: string
  columns: string[]
  rows: string[][]
}

/** As Markdown, columns aligned, so that it reads well in a terminal too. */
export function toMarkdown(table: Table): string {
  const lines = [table.columns, ...table.rows]
  const widths = table.columns.map((_, i) => Math.max(3, ...lines.map(line => [...(line[i] ?? '')].length)))
  const write = (cells: string[]) =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(' | ')} |`
  const rule = `| ${widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`
  return [`### ${table.title}`, '', table.note, '', write(table.columns), rule, ...table.rows.map(write), ''].join('\n')
}

/** Three significant digits at most, none invented. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return '–'
  if (value >= 100) return String(Math.round(value))
  return value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

/** `value` as a multiple of `base`. */
export function times(value: number, base: number | undefined): string {
  return base === undefined || !(base > 0) || !Number.isFinite(value) ? '–' : `${short(value / base)}×`
}
