import { readFileSync } from 'node:fs'

/** What a program that failed said: its error without the stack, else its last warning, else its last lines. */
export function messageOf(output: string): string {
  const lines = output.trimEnd().split('\n')
  const warning = lines.findLast(line => /^\{"level":"(warn|error|fatal)"/.test(line))
  const start = lines.findIndex(line => /^(\w*Error\b.*:|\w*Error \[)/.test(line))
  if (start === -1) return warning === undefined ? lines.slice(-6).join('\n') : readWarning(warning)
  const end = lines.findIndex((line, index) => index > start && /^\s+at |^Node\.js v/.test(line))
  return lines
    .slice(start, end === -1 ? start + 8 : end)
    .join('\n')
    .trimEnd()
}

/** What was added to a log file since it had a size. */
export function readLogSince(path: string, size: number): string {
  try {
    return readFileSync(path).subarray(size).toString('utf8')
  } catch {
    return ''
  }
}

/** A log line as a sentence. */
function readWarning(line: string): string {
  try {
    const { msg, err } = JSON.parse(line) as { msg?: string; err?: { message?: string } }
    return [msg, err?.message].filter(part => part !== undefined).join(': ')
  } catch {
    return line
  }
}
