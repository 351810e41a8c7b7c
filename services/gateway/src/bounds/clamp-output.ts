import { scanObject } from '../scan-json.ts'
import { applySplices, setMember } from '../splice-body.ts'
import type { ClampPlace } from './output-limits.ts'

/** A request with a smaller limit, and what that lets it put out. */
export interface ClampedBody {
  body: Buffer
  /** As it stands in the body: of each answer. */
  limit: number
  /** Over all answers. */
  outputTokens: number
}

/**
 * Puts a smaller limit of the output into a request; every other byte stays as it came.
 * @param outputTokens over all answers: the limit of each is its share, rounded down
 * @returns undefined where a share is too small to be of use
 * @throws JsonScanError
 */
export function clampOutput(body: Buffer, place: ClampPlace, outputTokens: number): ClampedBody | undefined {
  const limit = Math.floor(outputTokens / place.choices)
  if (limit < place.leastEach) return undefined
  const scanned = scanObject(body, new Set(place.members))
  const splices = place.members.map(member => setMember(scanned, member, String(limit)))
  return { body: applySplices(body, splices), limit, outputTokens: limit * place.choices }
}
