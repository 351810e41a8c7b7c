import { fromSpeechBytes, openSpeechTap, SoundCount, type UsageResult } from '@sluice/usage'
import { endMedia } from '../endings/end-media.ts'
import type { ReplyFacts, ReplyShape } from './reply-shape.ts'

/** Content types of sound that we take out of its events. */
const soundTypes: Record<string, string> = {
  mp3: 'audio/mpeg',
  opus: 'audio/opus',
  aac: 'audio/aac',
  flac: 'audio/flac',
  wav: 'audio/wav',
  pcm: 'audio/pcm',
}

/** Speech: sound alone, which tells no usage, or in events, which do. */
export const speech: ReplyShape = {
  read(body, facts) {
    const count = new SoundCount(facts.media?.format)
    count.add(body)
    return usageOf(facts, count, facts.isWhole)
  },
  openStream({ asked, media }) {
    const unwrap = media?.unwrap ?? false
    const tap = openSpeechTap({ input: asked?.quantities ?? {}, format: media?.format, unwrap })
    return { tap, end: endMedia, ...(unwrap && { soundType: soundTypes[media?.format ?? 'mp3'] ?? 'audio/mpeg' }) }
  },
  openBody(facts) {
    const count = new SoundCount(facts.media?.format)
    return { write: chunk => count.add(chunk), usage: isWhole => usageOf(facts, count, isWhole) }
  },
}

function usageOf({ asked }: ReplyFacts, { bytes, bytesPerSecond }: SoundCount, isWhole: boolean): UsageResult {
  return fromSpeechBytes(asked?.quantities ?? {}, { audioBytes: bytes, bytesPerSecond, isWhole })
}
