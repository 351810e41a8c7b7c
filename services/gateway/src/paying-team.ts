import type { Project, Team } from '@sluice/contracts'
import type { Principal } from './authenticate.ts'

/**
 * Settles which team pays, and what that team allows. A key's own team pays for its calls, whatever a header says. Where a key
 * has none, its member's calls are paid by the team of the `Sluice-Team` header (its id, or its name in any letters), if they
 * belong to it; else by their default team, else by `unassigned`. What somebody claims never chooses a team they are not in.
 */
export function withPayingTeam(principal: Principal, claimed: string | undefined): Principal {
  const chosen = claimed === undefined ? undefined : chosenTeam(principal, claimed)
  const { identity, project } = principal
  const teamId = chosen ?? identity.team_id
  const models = listsOf(project)?.get(teamId)
  if (chosen === undefined && models === undefined) return principal
  return {
    ...principal,
    identity: chosen === undefined ? identity : { ...identity, team_id: chosen },
    modelLists: models === undefined ? principal.modelLists : [...principal.modelLists, models],
  }
}

function chosenTeam({ memberTeams, identity, project }: Principal, claimed: string): string | undefined {
  if (!memberTeams) return undefined
  const wanted = claimed.trim().toLowerCase()
  const team = project.teams.find(({ team_id, name }) => team_id === claimed || name.toLowerCase() === wanted)
  if (!team || team.team_id === identity.team_id) return undefined
  return memberTeams.includes(team.team_id) ? team.team_id : undefined
}

const lists = new WeakMap<Project, ReadonlyMap<string, readonly string[]>>()

/** The model lists of a project's teams, those that have one; undefined: none has. */
function listsOf(project: Project): ReadonlyMap<string, readonly string[]> | undefined {
  let found = lists.get(project)
  if (!found) {
    found = new Map(
      project.teams.flatMap(({ team_id, allowed_models: models }: Team) => (models ? [[team_id, models]] : [])),
    )
    lists.set(project, found)
  }
  return found.size === 0 ? undefined : found
}
