import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { connectBus } from '@sluice/bus'
import type { Bundle, Role } from '@sluice/contracts'
import { openDatabase, runMigrations, startOutboxRelay } from '@sluice/postgres'
import { createSecretBox, errorOf, hashCredential, type Logger, ownMachine } from '@sluice/runtime'
import { cheapPasswordCost, hashCheaply, testNats, testPostgres } from '@sluice/test-env'
import { pino } from 'pino'
import { createAccountPublisher } from '../src/account-publisher.ts'
import { insertAccount } from '../src/account-store.ts'
import { newId } from '../src/api-key.ts'
import { type AppDeps, buildApp } from '../src/app.ts'
import { bootstrapInstallation, type Installation } from '../src/bootstrap-installation.ts'
import { createChanges } from '../src/change-store.ts'
import { createApiKey } from '../src/create-api-key.ts'
import { createProject } from '../src/create-project.ts'
import { isolateTenants } from '../src/db/isolate-tenants.ts'
import { migrations, schemaName } from '../src/db/migrations/index.ts'
import { openTenants } from '../src/db/open-tenants.ts'
import type { Db, Tables } from '../src/db/schema.ts'
import { errors } from '../src/errors.ts'
import { insertMember } from '../src/member-store.ts'
import { createSendSpans } from '../src/send-spans.ts'
import { insertSession } from '../src/session-store.ts'
import { createSignInDevices } from '../src/sign-in-device.ts'
import { createSignInThrottle } from '../src/sign-in-throttle.ts'
import { watchAnswers } from './answers-match-schemas.ts'

type Scope = Parameters<typeof testNats>[0]

export const adminPassword = 'correct horse battery staple'
export const masterKey = randomBytes(32).toString('base64')
export const box = createSecretBox(masterKey)

/** A log whose lines a test can read. */
export function recordingLog(): { log: Logger; lines: string[] } {
  const lines: string[] = []
  return { log: pino({ level: 'trace' }, { write: line => void lines.push(line) }), lines }
}

/** A fresh database with the schema of this service. */
export async function startDatabase(t: Scope, shared = false): Promise<{ db: Db; url: string }> {
  const { url } = await testPostgres(t, { schemas: [schemaName], shared })
  const db = openAccounts(t, url)
  await runMigrations(db, schemaName, migrations)
  await isolateTenants(db)
  return { db, url }
}

function openAccounts(t: Scope, url: string): Db {
  const database = openDatabase<Tables>({ url, schema: schemaName, maxConnections: 5 })
  t.after(() => database.close())
  return database.db
}

export interface TestAccounts {
  /** Sees everything, as its superuser; the routes in `deps` work under the role that sees what they are for. */
  db: Db
  deps: AppDeps
  app: ReturnType<typeof buildApp>
  installation: Installation
  lines: string[]
  /** Of the database, as its superuser. */
  url: string
}

/** An installation that each test gets a copy of: its password costs a third of a second to hash. */
let template: Promise<{ name: string; installation: Installation }> | undefined

async function makeTemplate(): Promise<{ name: string; installation: Installation }> {
  // Copied where nobody is connected to it.
  const closes: (() => void | Promise<void>)[] = []
  const { db, url } = await startDatabase({ after: close => closes.push(close) }, true)
  const admin = { email: 'admin@example.com', password: adminPassword }
  const { installation } = await bootstrapInstallation({ db, box, now: Date.now }, admin, undefined)
  await db
    .updateTable('members')
    .set({ password_hash: hashCheaply(adminPassword) })
    .execute()
  for (const close of closes) await close()
  return { name: new URL(url).pathname.slice(1), installation }
}

/** The routes on a real database, bootstrapped; what they announce stays in the outbox. */
export async function startAccounts(
  t: Scope,
  options: { now?: () => number; allowPrivateUpstreams?: boolean } = {},
): Promise<TestAccounts> {
  const { log, lines } = recordingLog()
  const now = options.now ?? Date.now
  template ??= makeTemplate()
  const { name, installation } = await template
  const { url } = await testPostgres(t, { template: name })
  const db = openAccounts(t, url)
  const tenants = openTenants(url, 5)
  t.after(() => tenants.close())
  const deps: AppDeps = {
    db: tenants.db,
    changes: createChanges({ db: tenants.db, now }),
    box,
    throttle: createSignInThrottle({ now }),
    devices: createSignInDevices(masterKey, now),
    passwordCost: cheapPasswordCost,
    now,
    log,
    publicUrl: 'http://127.0.0.1:8080',
    allowPrivateUpstreams: options.allowPrivateUpstreams ?? false,
    trustedProxies: ownMachine,
    testIntegration: () => Promise.reject(errorOf(errors.testUnavailable)),
    sendSpans: createSendSpans({ allowPrivate: options.allowPrivateUpstreams ?? false }),
  }
  const app = buildApp(deps)
  const problems = watchAnswers(app)
  t.after(async () => {
    await app.close()
    assert.deepEqual(problems, [], 'answers that are not what their schemas say')
  })
  return { db, deps, app, installation, lines, url }
}

/** The same routes with a real bus, as `main.ts` wires them. */
export async function startBus(t: Scope, { deps }: TestAccounts) {
  const nats = await testNats(t)
  const { user, pass } = nats.users.accounts
  const bus = await connectBus({ url: nats.url, user, password: pass }, 'accounts', deps.log)
  t.after(() => bus.close())
  const publisher = await createAccountPublisher(bus)
  const relay = startOutboxRelay(deps.db, publisher.send, { log: deps.log, retryMs: 200 })
  t.after(() => relay.close())
  const changes = createChanges({ db: deps.db, now: deps.now, flush: relay.flush })
  const app = buildApp({ ...deps, changes })
  t.after(() => app.close())
  return { nats, bus, publisher, relay, changes, app }
}

/** A session of a member for a season, without the cost of a password. */
export async function signInAs(db: Db, memberId: string): Promise<string> {
  const token = `st_${randomBytes(32).toString('base64url')}`
  await insertSession(db, {
    tokenHash: hashCredential(token),
    memberId,
    expiresAt: new Date(Date.now() + 100 * 86_400_000),
  })
  return token
}

/** A member with a role in a project, and their session. */
export async function addMember(
  db: Db,
  accountId: string,
  projectId: string,
  role: Role,
  bundles: Bundle[] = ['llm_proxy_user'],
) {
  const memberId = newId('mem')
  await insertMember(db, {
    memberId,
    accountId,
    email: `${memberId}@example.com`,
    passwordHash: null,
    accountAdmin: false,
  })
  await db
    .insertInto('project_members')
    .values({
      project_id: projectId,
      account_id: accountId,
      member_id: memberId,
      role,
      roles: bundles,
      default_team_id: null,
    })
    .execute()
  return { memberId, token: await signInAs(db, memberId) }
}

/** A second account with an administrator, a project and an admin key: the stranger of isolation tests. */
export async function addAccount(deps: AppDeps) {
  const accountId = newId('acct')
  const memberId = newId('mem')
  const actor = { kind: 'operator', id: 'test', accountId } as const
  return deps.changes.make(actor, async change => {
    await insertAccount(change.trx, accountId, 'other')
    await insertMember(change.trx, {
      memberId,
      accountId,
      email: `${memberId}@example.com`,
      passwordHash: null,
      accountAdmin: true,
    })
    const project = await createProject(change, { accountId, name: 'other', ownerId: memberId, settings: {} })
    const key = await createApiKey(change, deps.box, {
      projectId: project.project_id,
      teamId: null,
      memberId: null,
      serviceAccountId: null,
      name: 'other',
      description: '',
      role: 'admin',
      models: null,
      ipRanges: null,
      expiresAt: null,
      createdBy: memberId,
    })
    return { accountId, memberId, projectId: project.project_id, keyId: key.keyId, apiKey: key.value }
  })
}
