import { fromResponse, openResponsesTap, type ResponsesTap } from '@sluice/usage'
import { endResponses } from '../endings/end-responses.ts'
import { readJson } from './read-json.ts'
import type { ReplyShape } from './reply-shape.ts'

/** Responses objects and their events. */
export const responses: ReplyShape = {
  read: (body, facts) => readJson(body, facts, fromResponse),
  openStream({ model }) {
    const tap: ResponsesTap = openResponsesTap({ model })
    return { tap, end: ending => endResponses(tap.state, ending) }
  },
}
