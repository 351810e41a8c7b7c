import { estimateUnseenImages, type UsageResult } from '@sluice/usage'
import type { ChatSound } from './chat-sound.ts'
import { chat } from './shapes/chat.ts'
import { compaction } from './shapes/compaction.ts'
import { completion } from './shapes/completion.ts'
import { embeddings } from './shapes/embeddings.ts'
import { free } from './shapes/free.ts'
import { images } from './shapes/images.ts'
import { messages } from './shapes/messages.ts'
import { estimateInput } from './shapes/read-json.ts'
import type { AskedUsage, MediaAsk, ReplyShape } from './shapes/reply-shape.ts'
import { responses } from './shapes/responses.ts'
import { speech } from './shapes/speech.ts'
import { storedResponse } from './shapes/stored-response.ts'
import { tokenCount } from './shapes/token-count.ts'
import { transcript } from './shapes/transcript.ts'

/** Every kind of reply, by the name that rows of the endpoint table give. */
export const replyShapes = {
  chat,
  responses,
  embeddings,
  messages,
  completion,
  compaction,
  speech,
  transcript,
  images,
  'stored-response': storedResponse,
  'token-count': tokenCount,
  free,
} satisfies Record<string, ReplyShape>

export type ReplyShapeName = keyof typeof replyShapes

/** What a call is taken to have used where its provider told nothing: what the request tells, else its size. */
export function estimateAsked(call: {
  asked: AskedUsage | undefined
  estimatedInputTokens: number
  sound?: Pick<ChatSound, 'heardTokens'> | undefined
}): UsageResult {
  if (call.asked) return { ...call.asked, raw_usage: null }
  return estimateInput(call.estimatedInputTokens, call.sound?.heardTokens)
}

/** What a call is taken to have used that was sent and never answered: what it asked for, and of images half of the making. */
export function estimateUnanswered(
  call: Parameters<typeof estimateAsked>[0] & { media?: MediaAsk | undefined },
): UsageResult {
  const { asked, media } = call
  if (!asked || !media?.imagesByToken) return estimateAsked(call)
  return estimateUnseenImages(asked.quantities, media.imagesByToken, asked.modifiers)
}
