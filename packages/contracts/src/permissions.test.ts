import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bundlePermissions, bundles, permissions, permissionsOf, rolePermissions } from './permissions.ts'

test('people call providers by their own switch; admins need none', () => {
  for (const role of ['member', 'developer'] as const) {
    assert.ok(!permissionsOf(role, []).includes('llm:invoke'), role)
    assert.ok(permissionsOf(role, ['llm_proxy_user']).includes('llm:invoke'), role)
  }
  assert.ok(permissionsOf('admin', []).includes('llm:invoke'))
})

test('each role holds all of the one below it, and none of them operates the installation', () => {
  const everything = permissionsOf('admin', bundles)
  assert.deepEqual(
    everything,
    permissions.filter(permission => permission !== 'operate'),
  )
  assert.deepEqual(permissionsOf('admin', []), everything)
  assert.ok(rolePermissions.member.every(permission => permissionsOf('developer', bundles).includes(permission)))
})

test('who may name the owner of a team may read its usage', () => {
  for (const bundle of bundles) {
    const held: readonly string[] = permissionsOf('member', [bundle])
    assert.ok(!held.includes('teams:write') || held.includes('usage:read-team'), bundle)
  }
})

test('a bundle gives what it names, and nothing else', () => {
  const without: readonly string[] = permissionsOf('member', [])
  for (const bundle of bundles) {
    const more = permissionsOf('member', [bundle]).filter(permission => !without.includes(permission))
    assert.ok(
      more.every(permission => (bundlePermissions[bundle] as readonly string[]).includes(permission)),
      bundle,
    )
  }
})
