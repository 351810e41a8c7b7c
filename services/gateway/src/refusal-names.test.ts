import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ChatState, ResponsesState, UsageResult } from '@sluice/usage'
import { endChat } from './endings/end-chat.ts'
import { endMedia } from './endings/end-media.ts'
import { endMessages } from './endings/end-messages.ts'
import { endResponses } from './endings/end-responses.ts'
import type { StreamEnding } from './endings/stream-ending.ts'
import { Refusal, type RefusalReason, refusalReasons } from './refusal.ts'
import { answerRefusal, type RefusalAudience } from './refusal-answer.ts'

interface Named {
  type?: string
  code?: string
}

const audience: RefusalAudience = {
  dialect: 'openai',
  refusalClass: 'official-sdk',
  callId: 'call-1',
  nowMs: 0,
  budgetStatus: undefined,
  publicOrigin: undefined,
}

const chat: ChatState = { id: 'c', created: 1, model: 'm', choices: [] }
const responses: ResponsesState = {
  response: undefined,
  sequenceNumber: 1,
  finishedItems: [],
  openItems: [],
  overflow: false,
}
const messages = { id: 'm', model: 'm', openBlocks: [], inToolCall: false, stopReason: undefined, usage: undefined }

/** What the first event of a text says. */
function firstEvent(text: string): Record<string, unknown> {
  const [, data = '{}'] = /^data: (.*)$/m.exec(text) ?? []
  return JSON.parse(data)
}

test('an explicit end has the names that the same refusal has as a status, in both dialects and whatever is streamed', () => {
  for (const reason of Object.keys(refusalReasons) as RefusalReason[]) {
    const ending = endingOf(reason)
    const asStatus = (dialect: RefusalAudience['dialect']) =>
      (JSON.parse(answerRefusal(ending.refusal, { ...audience, dialect }).body) as { error: Named }).error
    const { type, code } = asStatus('openai')
    const ofChat = firstEvent(endChat(chat, ending)).error as Named
    assert.deepEqual([ofChat.type, ofChat.code], [type, code], reason)
    const ofMedia = firstEvent(endMedia(ending)).error as Named
    assert.deepEqual([ofMedia.type, ofMedia.code], [type, code], reason)
    const { response } = firstEvent(endResponses(responses, ending))
    assert.equal((response as { error: Named }).error.code, code, reason)
    const ofMessages = firstEvent(endMessages(messages, ending)).error as Named
    assert.equal(ofMessages.type, asStatus('anthropic').type, reason)
  }
  const stopped = firstEvent(endChat(chat, endingOf('stopped_by_admin'))).error as Named
  assert.deepEqual([stopped.type, stopped.code], ['permission_error', 'stopped_by_admin'])
})

function endingOf(reason: RefusalReason): StreamEnding {
  const usage = {} as UsageResult
  return { style: 'explicit', refusal: new Refusal(reason, 'No.'), callId: 'call-1', usage, clientWantsUsage: false }
}
