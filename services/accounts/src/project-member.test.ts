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

test('rights are given and taken by exactly those who hold all of them, before and after', () => {
  let tried = 0
  let refused = 0
  // Each two of the three meet, or all three do.
  for (const [at, giver] of all.entries())
    for (const [from, before] of all.entries())
      for (const after of sized({ small: all.slice((at + from) % all.length).slice(0, 1), full: all })) {
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
