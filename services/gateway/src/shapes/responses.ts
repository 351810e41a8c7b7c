import { fromResponse, openResponsesTap, type ResponsesTap, responseMembers } from '@sluice/usage'
import { endResponses } from '../endings/end-responses.ts'
import { type JsonReply, openJson, readJson } from './read-json.ts'
import type { ReplyShape } from './reply-shape.ts'

const reply: JsonReply = { convert: fromResponse, members: responseMembers }

/** Responses objects and their events. */
export const responses: ReplyShape = {
  read: (body, facts) => readJson(body, facts, reply),
  openLarge: facts => openJson(facts, reply),
  openStream({ model }) {
    const tap: ResponsesTap = openResponsesTap({ model })
    return { tap, end: ending => endResponses(tap.state, ending) }
  },
}
