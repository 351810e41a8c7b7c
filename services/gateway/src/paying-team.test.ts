import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Project, Team } from '@sluice/contracts'
import type { Principal } from './authenticate.ts'
import { withPayingTeam } from './paying-team.ts'

const teams: Team[] = [
  { team_id: 'team_red', name: 'Red' },
  { team_id: 'team_blue', name: 'Blue', allowed_models: ['openai/gpt-5*'] },
  { team_id: 'team_green', name: 'Green' },
]

function principalOf(memberTeams: string[] | undefined, team_id: string, of: Team[] = teams): Principal {
  return {
    identity: { account_id: 'a', project_id: 'p', team_id, credential_kind: 'key' },
    project: { teams: of } as unknown as Project,
    modelLists: [['*']],
    expiresAtMs: Infinity,
    memberTeams,
  }
}

test('a member’s call is paid by the team its header names, if they belong to it, else by their own', () => {
  const paidBy = (claimed: string | undefined, memberTeams: string[] | undefined) =>
    withPayingTeam(principalOf(memberTeams, 'team_red'), claimed).identity.team_id
  const mine = ['team_red', 'team_blue']
  for (const [claimed, team] of [
    [undefined, 'team_red'],
    ['team_blue', 'team_blue'],
    ['Blue', 'team_blue'],
    [' blue ', 'team_blue'],
    ['team_red', 'team_red'],
    ['team_green', 'team_red'],
    ['Green', 'team_red'],
    ['team_none', 'team_red'],
    ['', 'team_red'],
    ['__proto__', 'team_red'],
  ] as const)
    assert.equal(paidBy(claimed, mine), team, String(claimed))
  assert.equal(paidBy('team_blue', undefined), 'team_red', 'a key with a team of its own')
})

test('a team that is closed pays for nobody, though its members were not told yet', () => {
  const principal = principalOf(['team_blue'], 'unassigned', teams.slice(0, 1))
  assert.equal(withPayingTeam(principal, 'team_blue').identity.team_id, 'unassigned')
})

test('what the team that pays allows is allowed, beside all other lists', () => {
  const mine = ['team_blue']
  assert.deepEqual(withPayingTeam(principalOf(mine, 'team_red'), 'blue').modelLists, [['*'], ['openai/gpt-5*']])
  assert.deepEqual(withPayingTeam(principalOf(undefined, 'team_blue'), undefined).modelLists, [
    ['*'],
    ['openai/gpt-5*'],
  ])
  assert.deepEqual(withPayingTeam(principalOf(mine, 'team_red'), undefined).modelLists, [['*']])
})

test('where nothing changes nothing is made', () => {
  const principal = principalOf(['team_red'], 'team_red')
  assert.equal(withPayingTeam(principal, undefined), principal)
  assert.equal(withPayingTeam(principal, 'red'), principal)
})
