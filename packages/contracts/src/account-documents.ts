import type { Static } from 'typebox'
import { budgetModes, budgetWindows } from './budget-document.ts'
import { defineDocument } from './define-event.ts'
import { Id, RoomName, UnixMs, Uuid } from './ids.ts'
import { Role } from './permissions.ts'
import { Type } from './type.ts'
import { Dialect } from './usage-recorded.ts'

/**
 * A sealed secret: AES-256-GCM under a data key of its own, which is wrapped by the master key. All parts base64url.
 * Sealed for one row: opening it for another purpose, project or row fails.
 */
export const Envelope = Type.Object({
  v: Type.Literal(1),
  /** Names the master key that wraps, so that it can be rotated. */
  kid: Type.String(),
  wrapped_key: Type.String(),
  nonce: Type.String(),
  ciphertext: Type.String(),
})
export type Envelope = Static<typeof Envelope>

export const KeySchema = Type.Object({
  key_id: Uuid,
  version: Type.Integer({ minimum: 1 }),
  project_id: Uuid,
  account_id: Id,
  team_id: Type.Optional(Id),
  member_id: Type.Optional(Id),
  service_account_id: Type.Optional(Id),
  name: Type.String(),
  role: Role,
  /** Made by the server to sign tokens, which are its member's where it has one; shown to nobody. */
  system: Type.Optional(Type.Literal(true)),
  /**
   * What the key may do: its role's permissions, of which a member's key has those alone that its member has now, and a disabled
   * service account's none. Absent: those of its role. Names that one does not know give nothing.
   */
  permissions: Type.Optional(Type.Array(Type.String())),
  /** Teams that the key's member is in now: one of them may be named as the one that pays. */
  member_team_ids: Type.Optional(Type.Array(Id)),
  /** The team that pays for its member's calls when none is named and the key has none. */
  member_default_team_id: Type.Optional(Id),
  /** `provider/model`, trailing `*` allowed. Absent: what the project allows. */
  models: Type.Optional(Type.Array(Type.String())),
  /** Addresses in CIDR notation: from elsewhere the key, its tokens and its client secrets are refused. Absent: from everywhere. */
  ip_ranges: Type.Optional(Type.Array(Type.String())),
  /** Newest first. A rotated key has two until the old one expires. */
  secrets: Type.Array(
    Type.Object({
      secret_id: Id,
      /** SHA-256, hex, of the whole key string. */
      hash: Type.String(),
      /**
       * The secret part alone, since participant tokens are signed with it. Purpose `key-secret`. Absent: the key of another
       * system, of which nobody here knows more than its hash: it makes calls, signs no tokens and manages nothing.
       */
      envelope: Type.Optional(Envelope),
      expires_at_ms: Type.Optional(UnixMs),
    }),
  ),
  expires_at_ms: Type.Optional(UnixMs),
  revoked_at_ms: Type.Optional(UnixMs),
})

/** A key of a project, in KV `keys` under its id. Revoked keys stay for an hour, then are deleted. */
export const Key = defineDocument('key', KeySchema)
export type Key = Static<typeof KeySchema>

/** An environment variable of the gateways, or a file in their folder of credentials. */
export const CredentialSource = Type.Union([
  Type.Object(
    { env: Type.String({ pattern: '^GATEWAY_CREDENTIAL_[A-Z0-9_]{1,64}$' }) },
    { additionalProperties: false },
  ),
  Type.Object(
    { file: Type.String({ pattern: '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$' }) },
    { additionalProperties: false },
  ),
])
export type CredentialSource = Static<typeof CredentialSource>

/** What a credential at a provider comes to, whosever it is. */
const providerAccess = {
  integration_id: Id,
  dialect: Dialect,
  /** Absent: the provider's own. Without a trailing slash; for `openai` it ends in `/v1` as its SDK expects, for `anthropic` it does not. */
  base_url: Type.Optional(Type.String()),
  /** Purpose `integration-credential`. Absent: the managed credential is used with `base_url`'s default. */
  credential: Type.Optional(Envelope),
  /** Where gateways find the credential instead: the operator's words, of which the project sees the name alone. */
  credential_from: Type.Optional(CredentialSource),
  /** Headers that go with each request, in place of the client's of that name: a JSON object, sealed. Purpose `integration-headers`. */
  headers: Type.Optional(Envelope),
  /** `OpenAI-Organization` and `OpenAI-Project`. */
  organization: Type.Optional(Type.String()),
  provider_project: Type.Optional(Type.String()),
}

export const IntegrationSchema = Type.Object({
  ...providerAccess,
  /** What people call it; the first one of a provider is `default`. */
  name: Type.Optional(Type.String()),
  /** For calls that this team pays. Absent: for those of every team that has none of its own. */
  team_id: Type.Optional(Id),
  /** Not used for calls by itself: kept for routes and tests. */
  standby: Type.Optional(Type.Boolean()),
})
export type Integration = Static<typeof IntegrationSchema>

export const ManagedIntegrationSchema = Type.Object({
  ...providerAccess,
  version: Type.Integer({ minimum: 1 }),
})

/**
 * The operator's own access to a provider, for projects that bring none, in KV `managed-integrations` under the dialect. Sealed as
 * those of projects are, for the project {@link installationProject}. Where there is none, gateways take that of their environment.
 */
export const ManagedIntegration = defineDocument('managed integration', ManagedIntegrationSchema)
export type ManagedIntegration = Static<typeof ManagedIntegrationSchema>

/** Stands where a sealed secret names its project, for what belongs to the installation: no project has this id. */
export const installationProject = 'installation'

/**
 * Paths of providers that a project may open, each class by one switch, off by default. `stored`: background responses and
 * what is kept of responses; `free`: moderations and files; `batches`: OpenAI's batches; `realtime_calls`: calls whose sound
 * goes between client and provider, metered beside them, and client secrets, by which browsers begin them and sockets.
 */
export const pathClasses = ['stored', 'free', 'batches', 'realtime_calls'] as const
export type PathClass = (typeof pathClasses)[number]
export const PathClasses = Type.Object({
  stored: Type.Optional(Type.Boolean()),
  free: Type.Optional(Type.Boolean()),
  batches: Type.Optional(Type.Boolean()),
  realtime_calls: Type.Optional(Type.Boolean()),
})
export type PathClasses = Static<typeof PathClasses>

/** What each seat of a team gets in a window. */
export const SeatBudget = Type.Object(
  {
    amount_nano_usd: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
    window: Type.Enum([...budgetWindows]),
    /** IANA name; absent: UTC. */
    time_zone: Type.Optional(Type.String({ pattern: '^[A-Za-z][A-Za-z0-9_+/-]{0,63}$' })),
    /** As of any budget; absent: `soft`. */
    mode: Type.Optional(Type.Enum([...budgetModes])),
  },
  { additionalProperties: false },
)
export type SeatBudget = Static<typeof SeatBudget>

export const TeamSchema = Type.Object({
  team_id: Id,
  name: Type.String(),
  owner_member_id: Type.Optional(Id),
  /** `provider/model`, trailing `*` allowed: what its calls may use of what the project allows. Absent: all of that. */
  allowed_models: Type.Optional(Type.Array(Type.String())),
  /** What each person may spend in calls that it pays for. */
  seat_budget: Type.Optional(SeatBudget),
})
export type Team = Static<typeof TeamSchema>

export const ProjectSchema = Type.Object({
  project_id: Uuid,
  version: Type.Integer({ minimum: 1 }),
  account_id: Id,
  name: Type.String(),
  disabled: Type.Boolean(),
  /** `provider/model`, trailing `*` allowed. null: every priced model. */
  allowed_models: Type.Union([Type.Null(), Type.Array(Type.String())]),
  integrations: Type.Array(IntegrationSchema),
  /** What happens to a model without a price. */
  unpriced: Type.Union([Type.Literal('deny'), Type.Literal('assume_max'), Type.Literal('meter_tokens_only')]),
  /** When a client leaves: read to the provider's end, or stop the provider. */
  on_client_abort: Type.Object({
    openai: Type.Union([Type.Literal('drain'), Type.Literal('cancel')]),
    anthropic: Type.Union([Type.Literal('drain'), Type.Literal('cancel')]),
  }),
  /** Classes that are absent or false are off. */
  path_classes: Type.Optional(PathClasses),
  /** Rooms that the server has not made are refused. */
  unknown_rooms: Type.Optional(Type.Literal('deny')),
  /** Force one status for spent budgets, whatever the client (`refusals.md` d6 otherwise). */
  budget_status: Type.Optional(Type.Literal(402)),
  /** Those that are not closed. */
  teams: Type.Array(TeamSchema),
})

/** A project's settings as gateways see them, in KV `projects` under its id. */
export const Project = defineDocument('project', ProjectSchema)
export type Project = Static<typeof ProjectSchema>

export const RoomSchema = Type.Object({
  project_id: Uuid,
  room: RoomName,
  version: Type.Integer({ minimum: 1 }),
  closed: Type.Boolean(),
  /** Who may be in it, of those that have a token of the server's; absent: anyone. */
  member_ids: Type.Optional(Type.Array(Id)),
  /**
   * What those whom their grant limits may call in it, by their ids: `provider/model`, trailing `*` allowed; an empty list: no
   * model at all. For tokens of the server's, as `member_ids`.
   */
  member_models: Type.Optional(Type.Record(Type.String(), Type.Array(Type.String()))),
})

/**
 * A room that the server has made, in KV `rooms` under `<project>.<room>`. One by one: a project may have more of them than
 * fit into its own document.
 */
export const Room = defineDocument('room', RoomSchema)
export type Room = Static<typeof RoomSchema>

export const SessionSchema = Type.Object({
  member_id: Id,
  account_id: Id,
  /** Administers the account: admin of every project in it. */
  account_admin: Type.Boolean(),
  /** Runs the installation. */
  operator: Type.Optional(Type.Boolean()),
  projects: Type.Record(Type.String(), Role),
  /** What they may do in each of those projects. Absent: what their role says. */
  permissions: Type.Optional(Type.Record(Type.String(), Type.Array(Type.String()))),
  expires_at_ms: UnixMs,
})

/** A signed-in person's bearer token, in KV `sessions` under the SHA-256 (hex) of the token. Deleted: signed out. */
export const Session = defineDocument('session', SessionSchema)
export type Session = Static<typeof SessionSchema>
