type Json = Record<string, unknown>

const time = 'RFC 3339, in UTC'
const inUnit = 'In the unit of the budget: decimal USD as text, or a whole number as text'

/** What a field means wherever it stands, where its name is not enough. Units first of all. */
const byName: Readonly<Record<string, string>> = {
  access: 'Who may enter: everybody of the project, or its members alone',
  actor_id: 'A member, a key, or a task of ours by its name',
  actor_kind: '`member`, `key`, `operator` or `system`',
  after: 'What it is now, without secrets; null: gone',
  allowed_models: '`provider/model`, a trailing `*` for the rest; null: all that the project allows',
  amount: inUnit,
  api: 'What of the API a token opens: `{"llm": {"models": ["openai/*"]}}`; a surface that is not named is closed',
  api_key: 'Written, never read back: shown masked',
  at: time,
  base_url: 'Where the provider is; one that is OpenAI-compatible ends in `/v1`, an Anthropic-compatible one does not',
  before: 'What it was, without secrets; null: there was none',
  by: 'Kind and id of who has done it',
  copy: 'Of a budget with `per`: whose pool it is; empty: the shared one',
  cost_centre: 'What the team’s calls are booked on',
  counts_from: `Since when it counts: ${time}`,
  effective_at: `From when prices hold: ${time}; absent: now`,
  first_broken: 'The first number of the trail that does not follow from the one before it; null: all do',
  from_address: 'The client’s address; null: no request has asked for it',
  given_up: 'Holds that were given up: what they may have used is free again',
  granted: inUnit,
  hash: 'SHA-256, in hex',
  held: `Set aside for calls that run, at gateways for those that come next, and for what is unresolved: ${inUnit}`,
  hold: '`exact`: all that a call can use is set aside; `paced`: what it will use next, and more as it goes on',
  ip_ranges: 'CIDR ranges that calls may come from; null: from anywhere',
  last_used_at: `When a call with it was let in last, within a minute: ${time}; null: never`,
  left: `The limit in force less what is spent and held: ${inUnit}`,
  limit: inUnit,
  limit_in_force: `The limit with raises that stand: ${inUnit}`,
  metadata: 'Any JSON of at most 16 kB, kept as it is',
  annotations: 'Any JSON of at most 16 kB, kept as it is',
  mode: '`hard`: money is set aside before each call; `soft`: calls are ended and refused once it is spent; `alert`: tells and ends nothing',
  models: '`provider/model`, a trailing `*` for the rest; null or absent: all',
  on_unknown: 'What happens while the budget cannot be asked: `deny`, or an amount that is let through',
  overlap_seconds: 'So long the former secret goes on',
  per: 'A pool for each value of this dimension',
  resets_at: `When its window ends: ${time}; null: never`,
  scope: 'Which calls count: all that is named must match',
  seat_budget: 'What each seat of the team gets; null: nothing of its own',
  settled: `Spent and counted: ${inUnit}`,
  spent: `Spent in the window that runs: ${inUnit}`,
  starts_at: 'Whether what its window has spent already counts',
  team_id: 'Who pays',
  text: 'The same, for a person to read',
  time_zone: 'IANA name: where days, weeks and months begin',
  unit: 'What it counts',
  unresolved: `What calls may have used of which nobody has heard: ${inUnit}`,
  value: 'The key itself: shown this once',
  version: 'Grows with each change',
  window: 'How long it counts before it begins anew',
}

/** What asks for a page of a list: a field of the same name is something else. */
const ofPages: Readonly<Record<string, string>> = {
  before: 'Those before this one, by its id',
  limit: 'At most so many',
  offset: 'So many are left out at the beginning',
}

/** What a name ends in says its unit. */
const byEnding: readonly (readonly [RegExp, string])[] = [
  [/nano_usd$/, 'nano-USD, 10⁻⁹ of a dollar: an integer; as text where it may grow beyond 2⁵³'],
  [/_usd$/, 'US dollars'],
  [/(?:^|_)tokens(?:_|$)/, 'Tokens, as the provider counts them'],
  [/(?:_at|^since|^until|^from|^to|^valid_from|^valid_to)$/, time],
  [/_ms$/, 'Milliseconds'],
  [/(?:_seconds|^expires_in)$/, 'Seconds'],
  [/_bytes$/, 'Bytes'],
]

/** A schema with a description of each field, its own where it has one. The schema itself stays as it is. */
export function withFieldDescriptions(schema: Json): Json {
  const properties = schema.properties as Record<string, Json> | undefined
  return {
    ...schema,
    ...(properties && {
      properties: Object.fromEntries(
        Object.entries(properties).map(([name, member]) => [name, described(name, withFieldDescriptions(member))]),
      ),
    }),
    ...(isSchema(schema.items) && { items: withFieldDescriptions(schema.items) }),
    ...(Array.isArray(schema.anyOf) && { anyOf: (schema.anyOf as Json[]).map(withFieldDescriptions) }),
  }
}

function described(name: string, member: Json): Json {
  const description = member.description ?? describeField(name)
  return description === undefined ? member : { ...member, description }
}

/** What a field of this name means; undefined: its name says it. */
function describeField(name: string): string | undefined {
  return byName[name] ?? byEnding.find(([ending]) => ending.test(name))?.[1]
}

/** What a parameter of a query means; undefined: its name says it. */
export function describeParameter(name: string): string | undefined {
  return ofPages[name] ?? describeField(name)
}

function isSchema(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
