import type { WorkedExample, WorkedLine } from './worked-examples.ts'

const units = new Map([
  [1, 'each'],
  [1000, 'a thousand'],
  [60_000, 'a minute'],
  [1_000_000, 'a million'],
])

/** The table of examples as the page that people read. */
export function renderPage(examples: readonly WorkedExample[]): string {
  return `# Worked examples

What ${examples.length} calls cost, worked out by hand from the providers' own pages. A line is what was used, at its rate, rounded once to whole
nano-USD (10⁻⁹ USD), half to even; a total is the sum of its lines. [\`test/worked-examples.ts\`](test/worked-examples.ts) is the table;
a test holds the code and this page against it. \`node packages/pricing/test/write-worked-examples.ts\` writes the page.
${examples.map(renderExample).join('')}`
}

function renderExample(example: WorkedExample, index: number): string {
  const { title, says, lines, model, nanoUsd, usd, source, date } = example
  const rows = lines.map(line => [
    line.model === undefined ? `\`${line.quantity}\`` : `\`${line.quantity}\` of \`${line.model}\``,
    grouped(line.used),
    rateText(line),
    line.exact.includes('.') ? line.exact : grouped(Number(line.exact)),
    grouped(line.nanoUsd),
  ])
  return `
## ${index + 1}. ${title}

\`${model}\`. ${says}

${table(['quantity', 'used', 'rate', 'exact', 'nano-USD'], rows)}
Total: **${grouped(nanoUsd)} nano-USD = $${usd}**. Source: <${source}>, ${date}.
`
}

function rateText({ usd, per, times }: WorkedLine): string {
  return `$${usd} ${units.get(per)}${times ? ` × ${times.join('/')}` : ''}`
}

/** Columns as wide as their widest cell, as the formatter writes them. */
function table(heads: string[], rows: string[][]): string {
  const widths = heads.map((head, column) => Math.max(head.length, ...rows.map(row => row[column]?.length ?? 0)))
  const lineOf = (cells: string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |\n`
  return lineOf(heads) + lineOf(widths.map(width => '-'.repeat(width))) + rows.map(lineOf).join('')
}

function grouped(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',')
}
