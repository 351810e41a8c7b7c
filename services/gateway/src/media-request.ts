import { hasRate } from '@sluice/pricing'
import { imageInput, imageModifiers, measuredAs, speechInput, transcriptionInput } from '@sluice/usage'
import type { PriceBooksOfCall } from './allow-model.ts'
import type { AskedUsage, MediaAsk } from './shapes/reply-shape.ts'
import type { SoundLength } from './uploads/sound-meter.ts'

/** Members of a JSON body and fields of a form that say what a call for sound or images uses. */
export const mediaMembers = {
  speech: ['model', 'input', 'instructions', 'response_format', 'stream_format'],
  transcript: ['model', 'response_format', 'stream'],
  images: ['model', 'n', 'size', 'quality', 'stream', 'partial_images', 'response_format'],
} as const

export type MediaShape = keyof typeof mediaMembers

/** What a request says, whatever its body is written in. */
export interface MediaFields {
  /** A text, a number or a truth value as text; undefined where it is not there or something else. */
  text: (name: string) => string | undefined
  promptBytes: number
  /** Images that are given. */
  inputImages: number
  /** That is given. */
  sound: SoundLength
}

/** What a call for sound or images is taken to use until its provider tells, and how its reply comes. */
export interface AskedMedia {
  asked: AskedUsage
  /** What it may use on its side; absent: what it is taken to use. */
  atMost?: AskedUsage['quantities']
  media: MediaAsk
  streamed: boolean
}

/**
 * Reads what a request asks for. What it is charged for on its side depends on how its model is sold: by the character, the
 * minute or the image, else by the token.
 */
export function readAskedMedia(
  shape: MediaShape,
  fields: MediaFields,
  sold: { prices: PriceBooksOfCall; provider: string; model: string },
): AskedMedia {
  const isSoldBy = (quantity: Parameters<typeof hasRate>[3]): boolean =>
    hasRate(sold.prices, sold.provider, sold.model, quantity)
  const { promptBytes, inputImages, sound } = fields
  switch (shape) {
    case 'speech': {
      const perCharacter = isSoldBy('chars_in')
      const streamed = fields.text('stream_format') === 'sse'
      const instructionBytes = Buffer.byteLength(fields.text('instructions') ?? '')
      return {
        asked: estimated(speechInput({ input: fields.text('input') ?? '', instructionBytes, perCharacter }), {}),
        // Sound alone tells no tokens; in events it does.
        media: {
          format: fields.text('response_format'),
          unwrap: !streamed && !perCharacter && isSoldBy('out_audio'),
          partialImages: 0,
          imagesByToken: 0,
        },
        streamed,
      }
    }
    case 'transcript': {
      const perMinute = isSoldBy('audio_ms_in')
      return {
        asked: estimated(transcriptionInput({ durationMs: sound.ms, promptBytes, perMinute }), {}),
        atMost: transcriptionInput({ durationMs: sound.mostMs, promptBytes, perMinute }),
        media: { format: undefined, unwrap: false, partialImages: 0, imagesByToken: 0 },
        streamed: fields.text('stream') === 'true',
      }
    }
    case 'images': {
      const images = Math.max(1, countUpTo(10, fields.text('n')))
      const size = { size: fields.text('size'), quality: fields.text('quality') }
      const perImage = isSoldBy('images')
      const input = imageInput({ images, promptBytes, inputImages, perImage })
      return {
        asked: estimated(input, imageModifiers({}, size)),
        media: {
          format: undefined,
          unwrap: false,
          partialImages: countUpTo(3, fields.text('partial_images')),
          imagesByToken: perImage ? 0 : images,
        },
        streamed: fields.text('stream') === 'true',
      }
    }
  }
}

function estimated(quantities: AskedUsage['quantities'], modifiers: AskedUsage['modifiers']): AskedUsage {
  return { ...measuredAs(quantities, 'estimated'), modifiers }
}

/** Beyond what providers take there is nothing to be charged for; what is not plainly a number they may take for any. */
function countUpTo(most: number, text: string | undefined): number {
  if (text === undefined) return 0
  return /^\d{1,9}$/.test(text.trim()) ? Math.min(most, Number(text)) : most
}
