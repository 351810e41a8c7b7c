import { Type } from '@sluice/contracts'
import type { Static } from 'typebox'
import { effectiveSettings, SettingsObject } from '../project-settings.ts'
import type { ProjectSummary } from '../project-store.ts'

export const ProjectResponse = Type.Object({
  id: Type.String(),
  owner_user_id: Type.Union([Type.String(), Type.Null()]),
  name: Type.String(),
  project_key: Type.String(),
  created_at: Type.String(),
  settings: Type.Optional(SettingsObject),
})
export type ProjectResponse = Static<typeof ProjectResponse>

/** A project as clients know it; its settings only for those who may change them. */
export function toProjectResponse(project: ProjectSummary, options: { withSettings: boolean }): ProjectResponse {
  return {
    id: project.project_id,
    owner_user_id: project.owner_id,
    name: project.name,
    project_key: project.project_key,
    created_at: project.created_at.toISOString(),
    ...(options.withSettings && { settings: toSettingsResponse(project) }),
  }
}

/** The settings object with what is in force for settings that are not set. */
export function toSettingsResponse(project: ProjectSummary): Record<string, unknown> {
  return { ...project.settings, ...effectiveSettings(project.settings) }
}
