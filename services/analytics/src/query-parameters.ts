import { errorOf } from '@sluice/runtime'
import { errors } from './errors.ts'

/** Reads `start` and `end`. A time without a zone is UTC. @throws AppError 400 */
export function readSpan(query: { start?: string; end?: string }): { startMs?: number; endMs?: number } {
  const startMs = query.start === undefined ? undefined : readTime(query.start)
  const endMs = query.end === undefined ? undefined : readTime(query.end)
  if (startMs !== undefined && endMs !== undefined && startMs >= endMs) throw errorOf(errors.invalidTime)
  return { ...(startMs === undefined ? {} : { startMs }), ...(endMs === undefined ? {} : { endMs }) }
}

const isoTime = /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?$/i

function readTime(text: string): number {
  // A plus sign that was not percent-encoded arrives as a space.
  const repaired = text.replace(/ (\d{2}:?\d{2})$/, (whole, zone) =>
    /[T ]\d{2}:\d{2}.* /.test(text) ? `+${zone}` : whole,
  )
  const match = isoTime.exec(repaired)
  if (!match) throw errorOf(errors.invalidTime)
  const hasTime = match[1] !== undefined
  const hasZone = match[4] !== undefined
  const ms = Date.parse(hasTime && !hasZone ? `${repaired.replace(' ', 'T')}Z` : repaired.replace(' ', 'T'))
  if (Number.isNaN(ms) || ms < 0) throw errorOf(errors.invalidTime)
  return ms
}

const mostAnnotations = 16

/** Reads `annotations`: a JSON object of texts. @throws AppError 400 */
export function readAnnotations(text: string): Record<string, string> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw errorOf(errors.invalidAnnotations)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw errorOf(errors.invalidAnnotations)
  const entries = Object.entries(value)
  if (entries.length > mostAnnotations || entries.some(([, entry]) => typeof entry !== 'string'))
    throw errorOf(errors.invalidAnnotations)
  return value as Record<string, string>
}
