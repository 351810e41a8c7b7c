import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { openDatabase } from '@sluice/postgres'
import {
  eventually,
  hashCheaply,
  programEnvironment,
  programFile,
  testFolder,
  testNats,
  testPostgres,
} from '@sluice/test-env'
import { bootstrapInstallation } from '../src/bootstrap-installation.ts'
import { schemaName } from '../src/db/migrations/index.ts'
import type { Tables } from '../src/db/schema.ts'
import { findMemberByEmail } from '../src/member-store.ts'
import { verifyPassword } from '../src/password.ts'
import { adminPassword, box, masterKey, signInAs } from './start-accounts.ts'

const run = promisify(execFile)

test('an installation is bootstrapped from nothing', async t => {
  const { url } = await testPostgres(t, { schemas: [schemaName] })
  const file = join(testFolder(t, 'bootstrap'), 'installation.json')
  const env = {
    ...programEnvironment,
    ACCOUNTS_DATABASE_URL: url,
    SLUICE_MASTER_KEY: masterKey,
    SLUICE_ADMIN_EMAIL: 'admin@example.com',
    SLUICE_ADMIN_PASSWORD: adminPassword,
    SLUICE_BOOTSTRAP_FILE: file,
  }
  const bootstrap = (changed: Record<string, string> = {}) =>
    run(process.execPath, [programFile('services/accounts/src/bootstrap.ts')], { env: { ...env, ...changed } })
  await run(process.execPath, [programFile('services/accounts/src/migrate.ts')], { env })
  const first = await bootstrap()
  const installation = JSON.parse(first.stdout)

  await t.test('one JSON line names everything, and the same is kept in a private file', () => {
    assert.equal(first.stdout.trim().split('\n').length, 1)
    assert.deepEqual(Object.keys(installation), [
      'account_id',
      'admin_email',
      'member_id',
      'project_id',
      'team_id',
      'key_id',
      'api_key',
    ])
    assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), installation)
    assert.equal(statSync(file).mode & 0o777, 0o600)
  })

  await t.test('running it again changes nothing', async () => {
    const again = await bootstrap()
    assert.equal(again.stdout, first.stdout)
    assert.equal(again.stderr, '')
  })

  // It has been compared with as it is kept: from here on that costs little.
  const database = openDatabase<Tables>({ url, schema: schemaName })
  t.after(() => database.close())
  const { db } = database
  await db
    .updateTable('members')
    .set({ password_hash: hashCheaply(adminPassword) })
    .execute()

  await t.test('a lost file brings a new key for the same project, and says so', async () => {
    rmSync(file)
    const again = await bootstrap()
    const renewed = JSON.parse(again.stdout)
    assert.equal(renewed.project_id, installation.project_id)
    assert.equal(renewed.team_id, installation.team_id)
    assert.notEqual(renewed.api_key, installation.api_key)
    assert.match(again.stderr, /new key was made/)
  })

  await t.test('it refuses an empty password and a sample', async () => {
    const refused = { code: 1, stderr: /SLUICE_ADMIN_PASSWORD/ }
    await Promise.all(
      ['', 'Admin-Password-123'].map(SLUICE_ADMIN_PASSWORD =>
        assert.rejects(bootstrap({ SLUICE_ADMIN_PASSWORD }), refused),
      ),
    )
  })

  await t.test('the service starts on it, is ready once gateways can know it, and stops on SIGTERM', async t => {
    const nats = await testNats(t)
    const service = spawn(process.execPath, [programFile('services/accounts/src/main.ts')], {
      env: {
        ...env,
        ACCOUNTS_PORT: '0',
        ACCOUNTS_OPERATOR_PORT: '0',
        NATS_URL: nats.url,
        NATS_USER: nats.users.accounts.user,
        NATS_PASSWORD: nats.users.accounts.pass,
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    t.after(() => void service.kill('SIGKILL'))
    let log = ''
    service.stdout.on('data', chunk => {
      log += chunk
    })
    const { address, operatorPort } = await eventually(() => {
      const line = log.split('\n').find(candidate => candidate.includes('"listening"'))
      return line && JSON.parse(line)
    })
    await eventually(async () => (await fetch(`http://127.0.0.1:${operatorPort}/health/ready`)).ok)
    const signIn = await fetch(`${address}/accounts/sign-in`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email: 'Admin@example.com', password: adminPassword }),
    })
    const session = (await signIn.json()) as { access_token: string }
    const projects = await fetch(`${address}/accounts/projects`, {
      headers: { authorization: `Bearer ${session.access_token}` },
    })
    const listed = (await projects.json()) as { projects: { id: string }[] }
    assert.deepEqual(
      listed.projects.map(project => project.id),
      [installation.project_id],
    )
    service.kill('SIGTERM')
    const [code] = await once(service, 'exit')
    assert.equal(code, 0)
    for (const secret of [adminPassword, masterKey, session.access_token, installation.api_key])
      assert.ok(!log.includes(secret))
  })

  await t.test('a changed password becomes the administrator’s, and earlier sessions end', async () => {
    await signInAs(db, installation.member_id)
    const deps = { db, box, now: Date.now }
    const { created } = await bootstrapInstallation(
      deps,
      { email: 'admin@example.com', password: 'another battery staple' },
      installation.api_key,
    )
    assert.deepEqual(created, ['password'])
    assert.deepEqual(await db.selectFrom('sessions').selectAll().execute(), [])
    const member = await findMemberByEmail(db, 'admin@example.com')
    assert.equal(await verifyPassword('another battery staple', member?.password_hash), true)
    assert.equal(await verifyPassword(adminPassword, member?.password_hash), false)
  })
})
