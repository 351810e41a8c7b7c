/** What a consumer has received of one series: everything to `last` but the gaps. Ranges are inclusive, sorted, disjoint. */
export interface SeriesMark {
  last: number
  gaps: readonly (readonly [first: number, last: number])[]
}

export const emptyMark: SeriesMark = { last: 0, gaps: [] }

/** A part of an arriving range that was not received before. */
export interface NewRange {
  first: number
  last: number
}

/**
 * Receives `first..last`: the sub-ranges that are new, and the mark afterwards. Pure; replay and redelivery in any borders
 * give nothing new.
 */
export function receiveRange(mark: SeriesMark, first: number, last: number): { fresh: NewRange[]; mark: SeriesMark } {
  const fresh: NewRange[] = []
  const gaps: [number, number][] = []
  for (const [gapFirst, gapLast] of mark.gaps) {
    const from = Math.max(gapFirst, first)
    const to = Math.min(gapLast, last)
    if (from > to) {
      gaps.push([gapFirst, gapLast])
      continue
    }
    fresh.push({ first: from, last: to })
    if (gapFirst < from) gaps.push([gapFirst, from - 1])
    if (to < gapLast) gaps.push([to + 1, gapLast])
  }
  if (first > mark.last + 1) gaps.push([mark.last + 1, first - 1])
  if (last > mark.last) fresh.push({ first: Math.max(first, mark.last + 1), last })
  return { fresh, mark: { last: Math.max(mark.last, last), gaps } }
}

/** Every number up to and including this one has been received. */
export function contiguousTo(mark: SeriesMark): number {
  const firstGap = mark.gaps[0]
  return firstGap ? firstGap[0] - 1 : mark.last
}
