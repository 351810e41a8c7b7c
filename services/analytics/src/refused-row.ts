import type { CallRefusedData } from '@sluice/contracts'
import { toClickhouseTime } from './usage-row.ts'

/** Stands for "no project": the credential itself was refused. */
export const noProject = '00000000-0000-0000-0000-000000000000'

/** A row of `refused_calls_v1`, column for column. */
export interface RefusedRow {
  project_id: string
  call_id: string
  stream_seq: number | string
  gateway_id: string
  refused_at: string
  account_id: string
  team_id: string
  member_id: string
  service_account_id: string
  key_id: string
  room: string
  participant: string
  credential_kind: string
  app: string
  session_id: string
  agent_id: string
  parent_agent_id: string
  tags: Record<string, string>
  dialect: string
  endpoint: string
  requested_model: string
  reason: string
  http_status: number
  budget: string
  stop_id: string
  message: string
  count: number | string
}

/** The row of a refused call. */
export function toRefusedRow(refused: CallRefusedData, streamSeq: number): RefusedRow {
  const { identity, claimed } = refused
  return {
    project_id: identity?.project_id ?? noProject,
    call_id: refused.call_id,
    stream_seq: streamSeq,
    gateway_id: refused.gateway_id,
    refused_at: toClickhouseTime(refused.refused_at_ms),
    account_id: identity?.account_id ?? '',
    team_id: identity?.team_id ?? '',
    member_id: identity?.member_id ?? '',
    service_account_id: identity?.service_account_id ?? '',
    key_id: identity?.key_id ?? '',
    room: identity?.room ?? '',
    participant: identity?.participant ?? '',
    credential_kind: identity?.credential_kind ?? '',
    app: claimed.app ?? '',
    session_id: claimed.session_id ?? '',
    agent_id: claimed.agent_id ?? '',
    parent_agent_id: claimed.parent_agent_id ?? '',
    tags: claimed.tags ?? {},
    dialect: refused.dialect,
    endpoint: refused.endpoint,
    requested_model: refused.requested_model ?? '',
    reason: refused.reason,
    http_status: refused.http_status,
    budget: JSON.stringify(refused.budget ?? null),
    stop_id: refused.stop_id ?? '',
    message: refused.message ?? '',
    count: refused.count,
  }
}
