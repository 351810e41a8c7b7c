import type { Bundle, CredentialSource, Dialect, Envelope, Role, SeatBudget } from '@sluice/contracts'
import type { ColumnType, Generated, Kysely } from 'kysely'
import type { ParticipantRole, RoomPermissions } from '../room-grant.ts'
import type { SpanFilter } from '../span-filter.ts'

type Json<T> = ColumnType<T, string, string>
type CreatedAt = ColumnType<Date, Date | undefined, never>

/** The tables of schema `accounts`. What each column means stands in the migration. */
export interface Tables {
  accounts: { account_id: string; name: string; created_at: CreatedAt }
  members: {
    member_id: string
    account_id: string
    email: string
    email_lower: ColumnType<string, never, never>
    first_name: Generated<string>
    last_name: Generated<string>
    password_hash: string | null
    account_admin: Generated<boolean>
    operator: Generated<boolean>
    disabled_at: Date | null
    created_at: CreatedAt
  }
  projects: {
    project_id: string
    account_id: string
    name: string
    project_key: string
    version: Generated<number>
    disabled: Generated<boolean>
    allowed_models: Json<string[]> | null
    settings: ColumnType<Record<string, unknown>, string | undefined, string>
    owner_id: string | null
    created_at: CreatedAt
    deleted_at: Date | null
  }
  teams: {
    team_id: string
    project_id: string
    name: string
    allowed_models: Json<string[]> | null
    seat_budget: Json<SeatBudget> | null
    created_at: CreatedAt
    closed_at: Date | null
  }
  team_members: {
    team_member_id: string
    project_id: string
    team_id: string
    member_id: string
    role: 'owner' | 'member'
    valid_from: Date
    valid_to: Date | null
    state: Generated<'planned' | 'in_force' | 'ended'>
  }
  service_accounts: {
    service_account_id: string
    project_id: string
    name: string
    description: string
    team_id: string | null
    metadata: Json<Record<string, string>>
    annotations: Json<Record<string, string>>
    created_by: string
    created_at: CreatedAt
    disabled_at: Date | null
  }
  kept_answers: {
    account_id: string
    caller_id: string
    idempotency_key: string
    request_hash: string
    envelope: Json<Envelope> | null
    created_at: Date
  }
  team_cost_centres: {
    cost_centre_id: string
    project_id: string
    team_id: string
    cost_centre: string
    valid_from: Date
    valid_to: Date | null
  }
  project_members: {
    project_id: string
    account_id: string
    member_id: string
    role: Role
    roles: Generated<Bundle[]>
    default_team_id: string | null
    created_at: CreatedAt
  }
  api_keys: {
    key_id: string
    project_id: string
    version: Generated<number>
    team_id: string | null
    member_id: string | null
    service_account_id: string | null
    name: string
    description: string
    role: Role
    models: Json<string[]> | null
    ip_ranges: Json<string[]> | null
    kind: Generated<'key' | 'foreign' | 'system'>
    created_by: string
    created_at: CreatedAt
    expires_at: Date | null
    last_used_at: Date | null
    revoked_at: Date | null
    withdrawn_at: Date | null
  }
  api_key_secrets: {
    secret_id: string
    key_id: string
    hash: string
    envelope: Json<Envelope> | null
    created_at: CreatedAt
    expires_at: Date | null
  }
  rooms: {
    project_id: string
    room: string
    version: Generated<number>
    access: 'open' | 'members'
    metadata: Json<Record<string, unknown>>
    annotations: Json<Record<string, unknown>>
    created_by: string
    created_at: CreatedAt
    closed_at: Date | null
  }
  room_members: {
    project_id: string
    room: string
    member_id: string
    permissions: Json<RoomPermissions> | null
    role: Generated<ParticipantRole>
    created_at: CreatedAt
  }
  integrations: {
    integration_id: string
    project_id: string
    dialect: Dialect
    name: string
    team_id: string | null
    standby: boolean
    base_url: string | null
    envelope: Json<Envelope> | null
    api_key_hint: string | null
    credential_from: Json<CredentialSource> | null
    headers_envelope: Json<Envelope> | null
    header_names: string[]
    organization: string | null
    provider_project: string | null
    created_at: CreatedAt
    updated_at: ColumnType<Date, Date | undefined, Date>
  }
  managed_integrations: {
    dialect: Dialect
    integration_id: string
    version: number
    base_url: string | null
    envelope: Json<Envelope> | null
    api_key_hint: string | null
    credential_from: Json<CredentialSource> | null
    headers_envelope: Json<Envelope> | null
    header_names: string[]
    organization: string | null
    provider_project: string | null
    created_at: Date
    updated_at: Date
  }
  otel_settings: {
    project_id: string
    endpoint: string
    headers_envelope: Json<Envelope> | null
    header_names: string[]
    sample_ratio: number
    filter: Json<SpanFilter> | null
    updated_at: Date
  }
  sessions: { token_hash: string; member_id: string; created_at: CreatedAt; expires_at: Date }
  password_links: {
    token_hash: string
    member_id: string
    made_by: string | null
    created_at: CreatedAt
    expires_at: Date
  }
  audit_entries: {
    audit_id: Generated<string>
    at: Date
    account_id: string
    project_id: string | null
    actor_kind: string
    actor_id: string
    number: ColumnType<string, number, never>
    from_address: string | null
    user_agent: string | null
    action: string
    target: string
    before: Json<unknown> | null
    after: Json<unknown> | null
    prev_hash: string
    hash: string
    /** Of a change that another service has told of. */
    entry_id: ColumnType<string | null, string | null | undefined, never>
  }
  unread_changes: {
    unread_id: Generated<string>
    received_at: Date
    subject: string
    reason: string
    content: Uint8Array
  }
  audit_heads: { account_id: string; number: ColumnType<string, number, number>; hash: string }
}

/** A connection or a transaction of this service. */
export type Db = Kysely<Tables>
