import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { openDatabase, runMigrations } from '@sluice/postgres'
import { type TenantScope, withinScope } from '@sluice/runtime'
import { closeInReverse } from '@sluice/test-env'
import { sql } from 'kysely'
import { isolateTenants } from '../src/db/isolate-tenants.ts'
import { migrations, schemaName } from '../src/db/migrations/index.ts'
import type { Db, Tables } from '../src/db/schema.ts'
import { addAccount, addMember, signInAs, startAccounts } from './start-accounts.ts'

/** Whose rows lie in a table without a column that says it: the query of those who may see it. */
const owners: Record<string, (projectId: string, accountId: string) => string> = {
  api_key_secrets: projectId => `key_id in (select key_id from api_keys where project_id = '${projectId}')`,
  sessions: (_, accountId) => `member_id in (select member_id from members where account_id = '${accountId}')`,
  password_links: (_, accountId) => `member_id in (select member_id from members where account_id = '${accountId}')`,
}
/** Rows of no tenant; those of the installation are in `managed-integrations.test.ts` and `audit.test.ts`. */
const open = ['migrations', 'outbox', 'managed_integrations', 'unread_changes']

test('the second wall: a query that names no tenant', async t => {
  const { app, db, deps, installation, url } = await startAccounts(closeInReverse(t))
  const { project_id: mine, account_id: account } = installation
  const stranger = await addAccount(deps)
  const adminToken = await signInAs(db, installation.member_id)
  const strangerToken = await signInAs(db, stranger.memberId)
  const post = async (token: string, method: 'POST' | 'PUT', url: string, payload: Record<string, unknown>) => {
    const headers = { authorization: `Bearer ${token}`, 'idempotency-key': `${token.slice(-8)}${url}${payload.name}` }
    const answer = await app.inject({ method, url, headers, payload })
    assert.ok(answer.statusCode < 300, `${url}: ${answer.body}`)
    return answer.body === '' ? { id: '' } : answer.json<{ id: string }>()
  }
  /** A row of each kind in a project. */
  const fill = async (projectId: string, accountId: string, token: string) => {
    const { memberId } = await addMember(db, accountId, projectId, 'member')
    const path = `/accounts/projects/${projectId}`
    const team = await post(token, 'POST', `${path}/teams`, { name: 'a', owner_id: memberId, cost_centre: '1' })
    await post(token, 'POST', `${path}/service-accounts`, { name: 'a', team_id: team.id })
    await post(token, 'POST', `${path}/api-keys`, { name: 'a', member_id: memberId })
    await post(token, 'PUT', `${path}/settings/otel`, { endpoint: 'https://otel.example.com' })
    await post(token, 'POST', `${path}/rooms`, { name: 'a', access: 'members' })
    await post(token, 'PUT', `${path}/rooms/a/members/${memberId}`, {})
    await post(token, 'PUT', `${path}/settings/openai`, { api_key: 'sk-0123456789abcdef' })
    await post(token, 'POST', `/accounts/members/${memberId}/password-link`, {})
  }
  const { id: sibling } = await post(adminToken, 'POST', '/accounts/projects', { name: 'sibling' })
  await fill(mine, account, adminToken)
  await fill(sibling, account, adminToken)
  await fill(stranger.projectId, stranger.accountId, strangerToken)

  const { rows: tables } = await sql<{ name: string; columns: string[] }>`
    select table_name as name, array_agg(column_name::text order by ordinal_position) as columns from information_schema.columns
    where table_schema = ${schemaName} group by table_name order by table_name`.execute(db)
  const closed = tables.filter(({ name }) => !open.includes(name))
  /** Rows of a table, as they may be seen: of a project and its account, or of the account alone. */
  const ownOf = (name: string, columns: readonly string[], projectId: string | undefined) => {
    const of = owners[name]
    if (of && (name !== 'api_key_secrets' || projectId !== undefined)) return of(projectId ?? '', account)
    if (name === 'api_key_secrets')
      return `key_id in (select key_id from api_keys join projects using (project_id) where account_id = '${account}')`
    const conditions = [
      ...(columns.includes('account_id') ? [`account_id = '${account}'`] : []),
      ...(columns.includes('project_id')
        ? [
            projectId === undefined
              ? `(project_id is null or project_id in (select project_id from projects where account_id = '${account}'))`
              : `project_id = '${projectId}'`,
          ]
        : []),
    ]
    return conditions.join(' and ')
  }
  const rowsOf = async (from: Db, name: string, where = 'true') =>
    (await sql.raw<{ row: string }>(`select ${name}::text as row from ${name} where ${where} order by 1`).execute(from))
      .rows
  const scopes: [name: string, scope: TenantScope, projectId: string | undefined][] = [
    ['a project', { accountId: account, projectId: mine }, mine],
    ['an account', { accountId: account }, undefined],
  ]

  for (const [what, scope, projectId] of scopes)
    await t.test(`reads no row beyond ${what}, in any table`, async () => {
      for (const { name, columns } of closed) {
        const seen = await withinScope(scope, () => rowsOf(deps.db, name))
        assert.ok(seen.length > 0, `${name} has nothing to be seen`)
        assert.deepEqual(seen, await rowsOf(db, name, ownOf(name, columns, projectId)), name)
        assert.ok((await rowsOf(db, name)).length > seen.length, `${name} has nothing to be hidden`)
      }
    })

  await t.test('writes none either: what it changes or deletes without a filter is its own', async () => {
    const scope = { accountId: account, projectId: mine }
    const affected = (statement: string) =>
      withinScope(scope, async () => {
        const undone = new Error('undone')
        let count = -1n
        await deps.db
          .transaction()
          .execute(async trx => {
            count = (await sql.raw(statement).execute(trx)).numAffectedRows ?? -1n
            throw undone
          })
          .catch(error => {
            if (error !== undone) throw error
          })
        return Number(count)
      })
    for (const { name, columns } of closed.filter(table => table.name !== 'audit_entries')) {
      const own = (await rowsOf(db, name, ownOf(name, columns, mine))).length
      assert.equal(await affected(`update ${name} set ${columns[0]} = ${columns[0]}`), own, name)
    }
    for (const name of ['integrations', 'sessions', 'team_cost_centres', 'api_key_secrets', 'kept_answers']) {
      const { columns = [] } = tables.find(table => table.name === name) ?? {}
      assert.equal(
        await affected(`delete from ${name}`),
        (await rowsOf(db, name, ownOf(name, columns, mine))).length,
        name,
      )
    }
  })

  await t.test('puts nothing into another project or account, and changes no audit entry', async () => {
    const foreign = [sibling, stranger.projectId].map(
      projectId => `insert into teams (team_id, project_id, name) values ('team_x', '${projectId}', 'x')`,
    )
    const statements = [
      ...foreign,
      `update teams set project_id = '${sibling}'`,
      `insert into members (member_id, account_id, email) values ('mem_x', '${stranger.accountId}', 'x@example.com')`,
      `insert into audit_heads (account_id, number, hash) values ('${stranger.accountId}x', 1, '')`,
      'delete from audit_entries',
      `update audit_entries set action = 'x'`,
      'truncate audit_entries',
      'alter table teams disable row level security',
    ]
    for (const statement of statements)
      await assert.rejects(
        withinScope({ accountId: account, projectId: mine }, () => sql.raw(statement).execute(deps.db)),
        (error: { code?: string }) => error.code === '42501',
        statement,
      )
  })

  await t.test('whoever does not say for whom sees nothing, also right after somebody who did', async () => {
    for (const { name } of closed) {
      await withinScope({ system: true }, () => rowsOf(deps.db, name))
      assert.deepEqual(await rowsOf(deps.db, name), [], name)
    }
  })

  await t.test('a connection that cannot work under its role is handed to nobody, and none is lost by it', async () => {
    const tenants = { role: 'nobody_has_this_role' }
    const broken = openDatabase<Tables>({ url, schema: schemaName, maxConnections: 1, tenants })
    t.after(() => broken.close())
    for (let tries = 0; tries < 3; tries++)
      await assert.rejects(rowsOf(broken.db, 'teams'), (error: { code?: string }) => error.code === '22023')
  })

  await t.test('somebody is found by their address through an index, behind the wall', async () => {
    const plan = await withinScope({ accountId: account }, () =>
      deps.db.transaction().execute(async trx => {
        // A table of few rows is read whole unless that is made dear.
        await sql`set local enable_seqscan = off`.execute(trx)
        const query = trx.selectFrom('members').select('member_id').where('email_lower', '=', 'admin@example.com')
        return JSON.stringify(await query.explain('text', sql`verbose`))
      }),
    )
    assert.match(plan, /Index Cond: \(+members\.email_lower = /)
  })

  await t.test('a session that is announced from one project keeps its rights in another', async () => {
    const { memberId, token } = await addMember(db, account, mine, 'developer')
    await post(adminToken, 'POST', `/accounts/projects/${sibling}/users`, { user_id: memberId, roles: ['developer'] })
    await post(adminToken, 'PUT', `/accounts/projects/${mine}/users/${memberId}`, { roles: ['member'] })
    const { payload } = await db
      .withTables<{ outbox: { id: string; target: string; payload: string } }>()
      .selectFrom('outbox')
      .select('payload')
      .where('target', '=', 'sessions')
      .where('payload', 'like', `%${memberId}%`)
      .orderBy('id', 'desc')
      .executeTakeFirstOrThrow()
    assert.deepEqual(JSON.parse(payload).projects, { [mine]: 'member', [sibling]: 'developer' })
    assert.ok(token)
  })

  await t.test('the owner sees every row without saying for whom, also where the wall once bound it too', async () => {
    for (const { name } of closed) await sql`alter table ${sql.table(name)} force row level security`.execute(db)
    await sql`delete from migrations where name = '031-unforce-tenants'`.execute(db)
    await runMigrations(db, schemaName, migrations)
    await assertOwnerSeesAll()
    await isolateTenants(db)
    await assertOwnerSeesAll()
  })

  /** As an owner who is no superuser, which row-level security never binds. */
  async function assertOwnerSeesAll() {
    const undone = new Error('undone')
    await assert.rejects(
      db.transaction().execute(async trx => {
        const owner = sql.id(`owner_${randomUUID()}`)
        await sql`create role ${owner}`.execute(trx)
        await sql`grant usage, create on schema ${sql.id(schemaName)} to ${owner}`.execute(trx)
        const all = new Map<string, number>()
        for (const { name } of closed) {
          all.set(name, (await rowsOf(trx, name)).length)
          await sql`alter table ${sql.table(name)} owner to ${owner}`.execute(trx)
        }
        await sql`set local role ${owner}`.execute(trx)
        for (const [name, count] of all) assert.equal((await rowsOf(trx, name)).length, count, name)
        throw undone
      }),
      undone,
    )
  }

  await t.test('a table that does not say whom its rows belong to stops the step', async () => {
    await runMigrations(db, schemaName, migrations)
    await sql`create table forgotten (project_id uuid)`.execute(db)
    await assert.rejects(isolateTenants(db), /table forgotten/)
    await sql`drop table forgotten`.execute(db)
    await isolateTenants(db)
  })
})
