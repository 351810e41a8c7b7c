import type { AttemptStatus, UsageRecordedData } from '@sluice/contracts'
import { coversModel } from './api-key.ts'

/** Of which calls spans are sent: all that is named must match, and what is not named matches all. */
export interface SpanFilter {
  /** `provider/model` as it was asked for, trailing `*` allowed. */
  models?: string[]
  teams?: string[]
  /** What calls claim to come from. */
  apps?: string[]
  statuses?: AttemptStatus[]
}

/** Whether a project wants to be told of an attempt. */
export function isWanted(filter: SpanFilter | null, event: UsageRecordedData): boolean {
  if (!filter) return true
  const { models, teams, apps, statuses } = filter
  const model = `${event.provider}/${event.requested_model}`
  return (
    (models?.some(pattern => coversModel(pattern, model)) ?? true) &&
    (teams?.some(team => team === event.identity.team_id) ?? true) &&
    (apps?.some(app => app === event.claimed.app) ?? true) &&
    (statuses?.includes(event.status) ?? true)
  )
}
