import { readFileSync, writeFileSync } from 'node:fs'

const begin = '<!-- measured: begin -->'
const end = '<!-- measured: end -->'

/** Puts the text of a run between the two marks of the README. */
export function writeReport(path: string, text: string): void {
  const page = readFileSync(path, 'utf8')
  const from = page.indexOf(begin)
  const to = page.indexOf(end)
  if (from < 0 || to < from) throw new Error(`${path} lacks the marks of a report`)
  writeFileSync(path, `${page.slice(0, from + begin.length)}\n\n${text.trim()}\n\n${page.slice(to)}`)
}
