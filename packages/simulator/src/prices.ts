/**
 * The simulator's own price list, written by hand from the vendors' public pages. Rates are micro-USD per million tokens
 * (2_500_000 is $2.50), which makes `tokens × rate / 1000` nano-USD. It shares nothing with the prices under test.
 */
export interface TokenRates {
  readonly input: number
  readonly cacheRead: number
  readonly cacheWrite5m: number
  readonly cacheWrite1h: number
  readonly output: number
}

export interface SimPrice {
  readonly dialect: 'openai' | 'anthropic'
  readonly kind: 'text' | 'embedding'
  readonly rates: TokenRates
  /** Rates of the whole call once its input reaches `fromInputTokens`. */
  readonly long?: {
    readonly fromInputTokens: number
    readonly rates: TokenRates
    readonly tiers?: { readonly [tier: string]: TokenRates }
  }
  /** Rates by the service tier that served the call, where they differ. */
  readonly tiers?: { readonly [tier: string]: TokenRates }
  /** Rates of its fast mode, at every length. */
  readonly fast?: TokenRates
  /** Of sound, where the model hears and speaks. */
  readonly sound?: { readonly input: number; readonly output: number }
  /** Nano-USD for one web search, and for one of the tool's preview. */
  readonly search: { readonly plain: number; readonly preview: number }
  /** It searches once for every answer, and does not say so. */
  readonly alwaysSearches?: true
  /** US-only inference costs 11/10 of every token rate. */
  readonly usInferencePremium?: true
  /** Dated names that serve the same model; replies name the first one, unless `snapshot=0` asks for the name of the request. */
  readonly snapshots: readonly string[]
}

/** One web search, either vendor: $10 per thousand; what it finds is input. */
const SEARCH = { plain: 10_000_000, preview: 10_000_000 }

/** Models that do not reason pay $25 per thousand for the preview of the tool, and nothing for what it finds. */
const PREVIEW_SEARCH = { ...SEARCH, preview: 25_000_000 }

/** $2.50 per thousand. */
export const FILE_SEARCH_NANO_USD = 2_500_000

/** A container: $0.03 for 20 minutes of one gigabyte, four times as much for four. */
export const CONTAINER_GB_MINUTE_NANO_USD = 1_500_000

/** OpenAI sells no cache writes for these models: what is written costs what is read fresh. */
function openai(input: number, cacheRead: number, output: number): TokenRates {
  return { input, cacheRead, cacheWrite5m: input, cacheWrite1h: input, output }
}

function anthropic(
  input: number,
  cacheRead: number,
  cacheWrite5m: number,
  cacheWrite1h: number,
  output: number,
): TokenRates {
  return { input, cacheRead, cacheWrite5m, cacheWrite1h, output }
}

export const SIM_PRICES: { readonly [model: string]: SimPrice } = {
  'gpt-5.4': {
    dialect: 'openai',
    kind: 'text',
    rates: openai(2_500_000, 250_000, 15_000_000),
    long: {
      fromInputTokens: 272_000,
      rates: openai(5_000_000, 500_000, 22_500_000),
      tiers: { flex: openai(2_500_000, 250_000, 11_250_000) },
    },
    tiers: {
      flex: openai(1_250_000, 125_000, 7_500_000),
      priority: openai(5_000_000, 500_000, 30_000_000),
    },
    search: SEARCH,
    snapshots: ['gpt-5.4-2026-03-05'],
  },
  'gpt-5.4-mini': {
    dialect: 'openai',
    kind: 'text',
    rates: openai(750_000, 75_000, 4_500_000),
    tiers: {
      flex: openai(375_000, 37_500, 2_250_000),
      priority: openai(1_500_000, 150_000, 9_000_000),
    },
    search: SEARCH,
    snapshots: ['gpt-5.4-mini-2026-03-17'],
  },
  'gpt-5.5': {
    dialect: 'openai',
    kind: 'text',
    rates: openai(5_000_000, 500_000, 30_000_000),
    long: { fromInputTokens: 272_000, rates: openai(10_000_000, 1_000_000, 45_000_000) },
    search: SEARCH,
    snapshots: ['gpt-5.5-2026-04-23'],
  },
  'gpt-4.1': {
    dialect: 'openai',
    kind: 'text',
    rates: openai(2_000_000, 500_000, 8_000_000),
    tiers: { priority: openai(3_500_000, 875_000, 14_000_000) },
    search: PREVIEW_SEARCH,
    snapshots: ['gpt-4.1-2025-04-14'],
  },
  'gpt-4.1-mini': {
    dialect: 'openai',
    kind: 'text',
    rates: openai(400_000, 100_000, 1_600_000),
    tiers: { priority: openai(700_000, 175_000, 2_800_000) },
    // Each plain search is also 8,000 tokens of input.
    search: { plain: 13_200_000, preview: 25_000_000 },
    snapshots: ['gpt-4.1-mini-2025-04-14'],
  },
  'gpt-4o': {
    dialect: 'openai',
    kind: 'text',
    rates: openai(2_500_000, 1_250_000, 10_000_000),
    tiers: { priority: openai(4_250_000, 2_125_000, 17_000_000) },
    search: PREVIEW_SEARCH,
    snapshots: ['gpt-4o-2024-08-06', 'gpt-4o-2024-11-20'],
  },
  'gpt-4o-mini': {
    dialect: 'openai',
    kind: 'text',
    rates: openai(150_000, 75_000, 600_000),
    tiers: { priority: openai(250_000, 125_000, 1_000_000) },
    // Each plain search is also 8,000 tokens of input.
    search: { plain: 11_200_000, preview: 25_000_000 },
    snapshots: ['gpt-4o-mini-2024-07-18'],
  },
  'gpt-4o-search-preview': {
    dialect: 'openai',
    kind: 'text',
    rates: openai(2_500_000, 2_500_000, 10_000_000),
    search: { plain: 25_000_000, preview: 25_000_000 },
    alwaysSearches: true,
    snapshots: ['gpt-4o-search-preview-2025-03-11'],
  },
  'gpt-audio': {
    dialect: 'openai',
    kind: 'text',
    rates: openai(2_500_000, 2_500_000, 10_000_000),
    sound: { input: 32_000_000, output: 64_000_000 },
    search: SEARCH,
    snapshots: ['gpt-audio-2025-08-28'],
  },
  'gpt-audio-mini': {
    dialect: 'openai',
    kind: 'text',
    rates: openai(600_000, 600_000, 2_400_000),
    sound: { input: 10_000_000, output: 20_000_000 },
    search: SEARCH,
    snapshots: ['gpt-audio-mini-2025-10-06'],
  },
  'text-embedding-3-small': {
    dialect: 'openai',
    kind: 'embedding',
    rates: openai(20_000, 20_000, 0),
    search: SEARCH,
    snapshots: [],
  },
  'text-embedding-3-large': {
    dialect: 'openai',
    kind: 'embedding',
    rates: openai(130_000, 130_000, 0),
    search: SEARCH,
    snapshots: [],
  },
  'claude-sonnet-4-5': {
    dialect: 'anthropic',
    kind: 'text',
    rates: anthropic(3_000_000, 300_000, 3_750_000, 6_000_000, 15_000_000),
    long: { fromInputTokens: 200_001, rates: anthropic(6_000_000, 600_000, 7_500_000, 12_000_000, 22_500_000) },
    search: SEARCH,
    snapshots: ['claude-sonnet-4-5-20250929'],
  },
  'claude-sonnet-4-6': {
    dialect: 'anthropic',
    kind: 'text',
    rates: anthropic(3_000_000, 300_000, 3_750_000, 6_000_000, 15_000_000),
    usInferencePremium: true,
    search: SEARCH,
    snapshots: [],
  },
  'claude-opus-4-5': {
    dialect: 'anthropic',
    kind: 'text',
    rates: anthropic(5_000_000, 500_000, 6_250_000, 10_000_000, 25_000_000),
    search: SEARCH,
    snapshots: ['claude-opus-4-5-20251101'],
  },
  'claude-opus-4-8': {
    dialect: 'anthropic',
    kind: 'text',
    rates: anthropic(5_000_000, 500_000, 6_250_000, 10_000_000, 25_000_000),
    usInferencePremium: true,
    fast: anthropic(10_000_000, 1_000_000, 12_500_000, 20_000_000, 50_000_000),
    search: SEARCH,
    snapshots: [],
  },
  'claude-opus-5-5': {
    dialect: 'anthropic',
    kind: 'text',
    rates: anthropic(4_000_000, 200_000, 5_000_000, 8_000_000, 20_000_000),
    fast: anthropic(8_000_000, 400_000, 10_000_000, 16_000_000, 40_000_000),
    usInferencePremium: true,
    search: SEARCH,
    snapshots: [],
  },
  'claude-haiku-4-5': {
    dialect: 'anthropic',
    kind: 'text',
    rates: anthropic(1_000_000, 100_000, 1_250_000, 2_000_000, 5_000_000),
    search: SEARCH,
    snapshots: ['claude-haiku-4-5-20251001'],
  },
}

const byName = new Map<string, { readonly model: string; readonly price: SimPrice }>()
for (const [model, price] of Object.entries(SIM_PRICES)) {
  for (const name of [model, ...price.snapshots]) byName.set(name, { model, price })
}

/** The model behind a name or a dated name, or nothing when the simulator does not serve it. */
export function findModel(name: string): { readonly model: string; readonly price: SimPrice } | undefined {
  return byName.get(name)
}
