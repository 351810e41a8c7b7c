import assert from 'node:assert/strict'
import type { Management } from './management.ts'

/** How large a company is. */
export interface CompanySize {
  members: number
  teams: number
  keys: number
}

/** A key of the company, with who uses it and who pays. */
export interface CompanyKey {
  id: string
  value: string
  teamId: string
}

export interface Company {
  projectId: string
  /** Path of its project. */
  path: string
  teams: readonly string[]
  members: readonly string[]
  keys: readonly CompanyKey[]
}

const atOnce = 8

/**
 * Loads a company by REST, as an importer would: members by their addresses, each in a team that pays by default; of twenty
 * keys nineteen are members' and one is a team's own.
 */
export async function loadCompany(
  admin: Management,
  size: CompanySize,
  say: (line: string) => void = () => {},
): Promise<Company> {
  const post = async <T>(method: string, path: string, body: object): Promise<T> => {
    const answer = await admin.call<T>(method, path, body)
    assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body
  }
  const { id: projectId } = await post<{ id: string }>('POST', '/accounts/projects', { name: 'company' })
  const path = `/accounts/projects/${projectId}`
  const inParallel = inParallelSaying(say)
  const teams = await inParallel('teams', size.teams, async n => {
    const team = { name: `Team ${n}`, cost_centre: `CC-${1000 + (n % 20)}` }
    return (await post<{ id: string }>('POST', `${path}/teams`, team)).id
  })
  const teamOf = (n: number): string => teams[n % teams.length] ?? ''
  const members = await inParallel('members', size.members, async n => {
    const email = `member-${n}-${projectId}@example.com`
    const roles = ['member', 'llm_proxy_user']
    const { user_id } = await post<{ user_id: string }>('POST', `${path}/users`, { email, roles })
    await post('PUT', `${path}/teams/${teamOf(n)}/members/${user_id}`, {})
    await post('PUT', `${path}/users/${user_id}/default-team`, { team_id: teamOf(n) })
    return user_id
  })
  const keys = await inParallel('keys', size.keys, async n => {
    const owner = n % members.length
    const whose = n % 20 === 19 ? { team_id: teamOf(n) } : { member_id: members[owner] ?? '' }
    const key = await post<{ id: string; value: string }>('POST', `${path}/api-keys`, { name: `key ${n}`, ...whose })
    return { id: key.id, value: key.value, teamId: teamOf(n % 20 === 19 ? n : owner) }
  })
  return { projectId, path, teams, members, keys }
}

/** Makes things some at a time, and says how far it is from time to time. */
function inParallelSaying(say: (line: string) => void) {
  return async <T>(what: string, count: number, make: (n: number) => Promise<T>): Promise<T[]> => {
    const made = new Array<T>(count)
    let next = 0
    const work = async (): Promise<void> => {
      for (let n = next++; n < count; n = next++) {
        made[n] = await make(n)
        if (n > 0 && n % 500 === 0) say(`${n} of ${count} ${what}`)
      }
    }
    await Promise.all(Array.from({ length: atOnce }, work))
    return made
  }
}
