import type { Static } from 'typebox'
import { defineDocument } from './define-event.ts'
import { Type } from './type.ts'

export const MarkSchema = Type.Object({
  /** Every number up to and including this one is posted. */
  contiguous: Type.Integer({ minimum: 0 }),
  /** The highest number posted; above `contiguous` there are gaps. */
  last: Type.Integer({ minimum: 0 }),
  updated_at_ms: Type.Integer(),
})

/** How far billing has posted a series, in KV `marks` under `seriesKey`. A gateway keeps its segments until they are covered. */
export const Mark = defineDocument('mark', MarkSchema)
export type Mark = Static<typeof MarkSchema>
