import assert from 'node:assert/strict'
import { test } from 'node:test'
import { serviceNames } from '@sluice/contracts'
import { describeSharedRights, readStartSettings } from './start-settings.ts'

const where = { root: '/repo', cwd: '/repo' }

test('without settings everything is embedded, on port 8080 of this machine alone, kept in the checkout', () => {
  const settings = readStartSettings({}, where)
  assert.deepEqual(settings, { home: '/repo/.sluice', host: '127.0.0.1', port: 8080, providers: { notes: [] } })
})

test('a relative SLUICE_HOME is below the folder the person stands in, not below the checkout', () => {
  assert.equal(readStartSettings({ SLUICE_HOME: 'data', INIT_CWD: '/home/me' }, where).home, '/home/me/data')
})

test('a wrong port or URL is named, without its value where it may hold a password', () => {
  assert.throws(() => readStartSettings({ SLUICE_PORT: '80a' }, where), /SLUICE_PORT is 80a/)
  assert.throws(
    () => readStartSettings({ DATABASE_URL: 'mysql://me:hidden@host/db' }, where),
    (error: Error) => /DATABASE_URL/.test(error.message) && !/hidden/.test(error.message),
  )
})

test('an external NATS takes a credential a service, and the admin one where a service has none', () => {
  const { nats } = readStartSettings(
    {
      NATS_URL: 'nats://bus:4222',
      NATS_ADMIN_USER: 'root',
      NATS_ADMIN_PASSWORD: 'a',
      NATS_BUDGET_USER: 'b',
      NATS_BUDGET_PASSWORD: 'c',
    },
    where,
  )
  assert.deepEqual(nats?.admin, { user: 'root', pass: 'a' })
  assert.deepEqual(nats?.services.budget, { user: 'b', pass: 'c' })
  assert.deepEqual(nats?.services.billing, { user: 'root', pass: 'a' })
})

test('that services share the rights of the administrator on an external NATS is said, without a password', () => {
  const say = (env: Record<string, string>) => {
    const { nats } = readStartSettings({ NATS_URL: 'nats://bus:4222', ...env }, where)
    return nats && describeSharedRights(nats)
  }
  const admin = { NATS_ADMIN_USER: 'root', NATS_ADMIN_PASSWORD: 'hidden' }
  assert.match(say({}) ?? '', /every service connects without a credential/)
  assert.match(say(admin) ?? '', /every service connects with the administrator's credential \(root\)/)
  assert.doesNotMatch(say(admin) ?? '', /hidden/)
  const each = (names: readonly string[]) =>
    Object.fromEntries(names.map(name => [`NATS_${name.toUpperCase()}_USER`, `n-${name}`]))
  assert.match(say({ ...admin, ...each(serviceNames.slice(1)) }) ?? '', /: gateway connects with/)
  assert.equal(say({ ...admin, ...each(serviceNames) }), undefined)
})
