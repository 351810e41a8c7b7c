import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readStartSettings } from './start-settings.ts'

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
