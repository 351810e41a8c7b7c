import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Bundle, bundles, permissionsOf, type Role, rolePermissions } from '@sluice/contracts'
import { sized } from '@sluice/test-env/test-size'
import { type ProjectRights, requireMayGrant } from './project-member.ts'

/** Each role alone and with each bundle. */
const all: ProjectRights[] = (Object.keys(rolePermissions) as Role[]).flatMap(role => [
  { role, bundles: [] },
  ...bundles.map((bundle: Bundle) => ({ role, bundles: [bundle] })),
])
const held = (right: ProjectRights) => new Set<string>(permissionsOf(right.role, right.bundles))

/** Of what somebody has and gets. Small: one of them is the giver's own, so that the other one alone decides. */
const changesBy = (giver: ProjectRights): [before: ProjectRights, after: ProjectRights][] =>
  all.flatMap(one =>
    sized<[ProjectRights, ProjectRights][]>({
      small: [
        [one, giver],
        [giver, one],
      ],
      full: all.map(other => [one, other]),
    }),
  )

test('rights are given and taken by exactly those who hold all of them, before and after', () => {
  let tried = 0
  let refused = 0
  for (const giver of all)
    for (const [before, after] of changesBy(giver)) {
      const own = held(giver)
      const may = [...held(before), ...held(after)].every(permission => own.has(permission))
      const grant = () => requireMayGrant({ permissions: own, key: undefined }, before, after)
      if (may) grant()
      else assert.throws(grant, { statusCode: 403 })
      tried += 1
      if (!may) refused += 1
    }
  assert.ok(refused > 0 && refused < tried)
})
