import { readFileSync } from 'node:fs'

/** The last lines of a log file, for an error message. */
export function tailOf(path: string, lines = 3): string {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-lines).join(' | ')
  } catch {
    return '(empty)'
  }
}
