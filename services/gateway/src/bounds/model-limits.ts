import type { Dialect } from '@sluice/contracts'

/** What a model takes and gives at most, whatever it is asked. */
export interface ModelLimits {
  /** Tokens of input and output together. Of models that nobody here knows it is the provider's largest. */
  readonly contextTokens: number
  /** False: larger inputs may be taken than `contextTokens` says. */
  readonly isKnown: boolean
  /** Tokens of one answer, thinking included. */
  readonly outputTokens: number
  /** It thinks before it answers, on the same limit: unasked, or only where the request says so. */
  readonly thinks: 'unasked' | 'asked' | undefined
  /** What an image of the largest size that the model looks at is charged as. */
  readonly imageTokens: number
}

/** [name, context, output, image, thinks] */
type Row = readonly [
  match: RegExp,
  contextTokens: number,
  outputTokens: number,
  imageTokens: number,
  thinks?: 'unasked' | 'asked',
]

/** 85 tokens and 170 for each of the eight tiles that an image can be cut into. */
const tiles = 1_445
/** The same picture at the same price, on a model whose tokens are cheaper: 2,833 and 5,667 a tile. */
const dearTiles = 48_169
/** 1,536 patches, each 2.46 tokens on the smallest models; what others multiply by is less, or not told. */
const patches = 3_779
/** 10,000 patches, where images may be looked at in their original size. */
const originalPatches = 24_600

/**
 * The first row that matches holds. Windows and outputs of `told` rows stand on the models' own pages
 * (developers.openai.com/api/docs/models/…, read in November 2026: gpt-4, gpt-4-turbo, gpt-4-turbo-preview,
 * gpt-4o-realtime-preview, gpt-4o-mini-realtime-preview, compare?model=gpt-4o-mini-transcribe, gpt-realtime-1.5, gpt-realtime-2,
 * gpt-realtime-2.1, gpt-realtime-2.1-mini, gpt-5-pro). Of the others no page of the maker's was found: they are as several resellers list
 * them, and where those differ, or list a part of a family alone, the largest that any of them has. The sums of images are those of
 * developers.openai.com/api/docs/guides/images-vision.
 */
const openai: readonly Row[] = [
  ...told([
    [/^gpt-4o-mini-(?:realtime|transcribe)/, 16_000, 4_096, tiles],
    [/^gpt-4o-realtime/, 32_000, 4_096, tiles],
    [/^gpt-realtime-[2-9]/, 128_000, 32_000, tiles, 'unasked'],
    [/^gpt-realtime(?:-1\.5)?(?:-\d{4}|$)/, 32_000, 4_096, tiles],
    [/^(?:gpt-4-turbo|gpt-4-vision|gpt-4-\d{4}-preview|gpt-4-\d{4}-vision)/, 128_000, 4_096, tiles],
    [/^gpt-4(?:-\d{4})?$/, 8_192, 8_192, tiles],
    [/^gpt-5-pro/, 400_000, 272_000, patches, 'unasked'],
  ]),
  [/^gpt-realtime/, 128_000, 4_096, tiles],
  [/^gpt-4o-transcribe/, 16_000, 2_000, tiles],
  [/^gpt-4o-mini/, 128_000, 16_384, dearTiles],
  [/^(?:gpt-4o|chatgpt-4o|gpt-4\.5|gpt-audio)/, 128_000, 16_384, tiles],
  [/^gpt-4\.1-(?:mini|nano)/, 1_047_576, 32_768, patches],
  [/^gpt-4\.1/, 1_047_576, 32_768, tiles],
  [/^gpt-4-32k/, 32_768, 32_768, tiles],
  [/^gpt-3\.5/, 16_385, 4_096, tiles],
  [/^o1-mini/, 128_000, 65_536, tiles, 'unasked'],
  [/^o1-preview/, 128_000, 32_768, tiles, 'unasked'],
  [/^(?:o[134]|codex-mini)/, 200_000, 100_000, patches, 'unasked'],
  [/^computer-use/, 8_192, 1_024, patches],
  [/^gpt-5\.3(?:-chat|-\d{4}|$)/, 128_000, 128_000, originalPatches, 'unasked'],
  [/^gpt-5\.4-(?:mini|nano)/, 400_000, 128_000, originalPatches, 'unasked'],
  [/^gpt-5\.[4-9]/, 1_050_000, 128_000, originalPatches, 'unasked'],
  [/^gpt-5/, 400_000, 272_000, patches, 'unasked'],
  [/^gpt-[6-9]/, 1_050_000, 128_000, originalPatches, 'unasked'],
  [/^gpt-oss/, 131_072, 131_072, originalPatches, 'unasked'],
]

/** An image is one token for each 28 by 28 pixels: 1,568, or 4,784 on models that look at larger ones. */
const smallImage = 1_640
const largeImage = 5_000

/**
 * Windows of a million that need a beta's header count, since the header may be there. `told` rows stand on
 * platform.claude.com/docs/en/about-claude/models/overview and …/docs/en/models/{opus-5,opus-4-6,sonnet-5,sonnet-4-6}/overview, which
 * list the others of today beside (Fable 5.1, Opus 5.5, Sonnet 5.5, Haiku 5.5), read in November 2026; images on
 * …/build-with-claude/vision, and who thinks unasked on …/build-with-claude/adaptive-thinking. Of older models no page is left: their rows
 * have the largest that was ever listed for one of them.
 */
const anthropic: readonly Row[] = [
  [/^claude-(?:v?[12]|instant)/, 200_000, 8_192, smallImage],
  [/^claude-3-(?:opus|sonnet|haiku)/, 200_000, 8_192, smallImage],
  [/^claude-3-5/, 200_000, 8_192, smallImage],
  [/^claude-3-7/, 200_000, 128_000, smallImage, 'asked'],
  [/^claude-opus-4(?:-[015])?(?:-\d{8}|-latest)?$/, 200_000, 64_000, smallImage, 'asked'],
  ...told([
    [/^claude-haiku-4-5/, 200_000, 64_000, smallImage, 'asked'],
    [/^claude-sonnet-4(?:-[05])?(?:-\d{8}|-latest)?$/, 1_000_000, 64_000, smallImage, 'asked'],
    [/^claude-(?:opus|sonnet)-4-6/, 1_000_000, 128_000, largeImage, 'asked'],
    [/^claude-/, 1_000_000, 128_000, largeImage, 'unasked'],
  ]),
]

/** Rows whose numbers the maker itself has published. */
function told(rows: readonly Row[]): readonly Row[] {
  return rows
}

const rows: Record<Dialect, readonly Row[]> = { openai, anthropic }

/** Of models without a row: the most that any model of the dialect has. */
const unknown: Record<Dialect, ModelLimits> = {
  openai: {
    contextTokens: 1_050_000,
    isKnown: false,
    outputTokens: 272_000,
    thinks: 'unasked',
    imageTokens: dearTiles,
  },
  anthropic: {
    contextTokens: 1_000_000,
    isKnown: false,
    outputTokens: 128_000,
    thinks: 'unasked',
    imageTokens: largeImage,
  },
}

/** Of models that were asked for lately: names come from clients. */
const found: Record<Dialect, Map<string, ModelLimits>> = { openai: new Map(), anthropic: new Map() }
const mostFound = 1_024

/** What is known of a model; of a fine-tuned one, what is known of the model that it was made from. */
export function findModelLimits(dialect: Dialect, model: string): ModelLimits {
  const known = found[dialect].get(model)
  if (known) return known
  const limits = readLimits(dialect, model)
  if (found[dialect].size >= mostFound) found[dialect].clear()
  found[dialect].set(model, limits)
  return limits
}

function readLimits(dialect: Dialect, model: string): ModelLimits {
  const name = model.startsWith('ft:') ? model.slice(3) : model
  const row = rows[dialect].find(([match]) => match.test(name))
  if (!row) return unknown[dialect]
  const [, contextTokens, outputTokens, imageTokens, thinks] = row
  return { contextTokens, isKnown: true, outputTokens, thinks, imageTokens }
}
