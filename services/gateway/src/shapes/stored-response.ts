import {
  freeUsage,
  fromResponse,
  JsonPicker,
  openResponsesTap,
  type ResponsesTap,
  responseMembers,
  type StreamTap,
} from '@sluice/usage'
import { sseEvent } from '../endings/stream-ending.ts'
import { metadataOf } from '../refusal-answer.ts'
import { openaiNames } from '../refusal-names.ts'
import { maxParsedBytes, parse } from './read-json.ts'
import type { ReplyShape } from './reply-shape.ts'

/**
 * A response that is kept at its provider, told again or begun in the background: asking costs nothing, since what it
 * costs is settled once, under its id.
 */
export const storedResponse: ReplyShape = {
  read(body, facts) {
    const parsed = facts.wholeBytes > maxParsedBytes ? undefined : parse(body)
    return { ...namesOf(parsed), ...freeUsage() }
  },
  openLarge() {
    const picker = new JsonPicker(responseMembers)
    return {
      write: chunk => picker.write(chunk),
      usage: () => ({ ...namesOf(picker.value()), ...freeUsage() }),
    }
  },
  openStream({ model }) {
    const tap: ResponsesTap = openResponsesTap({ model })
    return {
      tap: withoutCost(tap),
      // The response itself goes on: only this telling of it ends.
      end: ({ refusal, callId }) =>
        sseEvent(
          {
            type: 'error',
            sequence_number: tap.state.sequenceNumber + 1,
            code: openaiNames(refusal).code,
            message: refusal.message,
            param: null,
            metadata: metadataOf(refusal, callId),
          },
          'error',
        ),
    }
  },
}

function namesOf(parsed: unknown): Pick<ReturnType<typeof fromResponse>, 'served_model' | 'response_id'> {
  const { served_model, response_id } = fromResponse(parsed)
  return {
    ...(served_model === undefined ? {} : { served_model }),
    ...(response_id === undefined ? {} : { response_id }),
  }
}

function withoutCost(tap: ResponsesTap): StreamTap {
  return {
    write: chunk => tap.write(chunk),
    eventEndIn: chunk => tap.eventEndIn(chunk),
    forward: chunk => tap.forward(chunk),
    flush: () => tap.flush(),
    observe: data => tap.observe(data),
    usage: () => ({ ...namesOf(tap.state.response), ...freeUsage() }),
    get outputBytes() {
      return tap.outputBytes
    },
    get atEventBoundary() {
      return tap.atEventBoundary
    },
    get ended() {
      return tap.ended
    },
    get failed() {
      return tap.failed
    },
    measured: true,
  }
}
