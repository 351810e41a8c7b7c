import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { jetstream } from '@nats-io/jetstream'
import { connectBus, publishEvent } from '@sluice/bus'
import { AuditRecorded, type AuditRecordedData } from '@sluice/contracts'
import { openDatabase, runMigrations } from '@sluice/postgres'
import { withinScope } from '@sluice/runtime'
import { closeInReverse, eventually, programEnvironment, programFile, testFolder, testPostgres } from '@sluice/test-env'
import { sql } from 'kysely'
import { type ChainedEntry, chainEntry, chainStart } from '../src/audit-chain.ts'
import { listAuditedAccounts, readAuditTrail } from '../src/audit-store.ts'
import { chainRecordedChanges, recordChanges } from '../src/consumers/audit-recorded.ts'
import { chainAudit } from '../src/db/migrations/008-chain-audit.ts'
import { migrations, schemaName } from '../src/db/migrations/index.ts'
import type { Tables } from '../src/db/schema.ts'
import { verifyAccount } from '../src/verify-audit-trail.ts'
import { addAccount, addMember, signInAs, startAccounts, startBus } from './start-accounts.ts'

const run = promisify(execFile)
const program = programFile('services/accounts/src/verify-audit.ts')

test('the audit trail', async t => {
  const { app, db, deps, installation, url } = await startAccounts(closeInReverse(t))
  const { project_id: pid, account_id: accountId } = installation
  const adminToken = await signInAs(db, installation.member_id)
  const stranger = await addAccount(deps)
  const strangerToken = await signInAs(db, stranger.memberId)
  const get = async (path: string, token = adminToken) => {
    const answer = await app.inject({ url: path, headers: { authorization: `Bearer ${token}` } })
    return {
      status: answer.statusCode,
      body: answer.headers['content-type']?.includes('ndjson') ? answer.body : answer.json(),
    }
  }
  const makeTeam = async (name: string) => {
    const answer = await app.inject({
      method: 'POST',
      url: `/accounts/projects/${pid}/teams`,
      headers: { authorization: `Bearer ${adminToken}`, 'user-agent': 'console/1.0' },
      remoteAddress: '203.0.113.7',
      payload: { name },
    })
    return answer.json<{ id: string }>().id
  }
  const teams = [await makeTeam('one'), await makeTeam('two'), await makeTeam('three')]
  /** The entries as somebody with the database in hand would change them. */
  const tamper = async (statement: string) => {
    await sql`alter table audit_entries disable trigger all`.execute(db)
    await sql.raw(statement).execute(db)
    await sql`alter table audit_entries enable trigger all`.execute(db)
  }

  await t.test('an entry says who, what, from where, before and after; the latest comes first', async () => {
    const { entries } = (await get(`/accounts/projects/${pid}/audit?action=team.created`)).body
    assert.deepEqual(
      entries.slice(0, 3).map((entry: { target: string }) => entry.target),
      teams.toReversed(),
    )
    const [{ number, at, hash, prev_hash, ...latest }] = entries
    assert.ok(number > 0 && at && hash && prev_hash)
    assert.deepEqual(latest, {
      account_id: accountId,
      project_id: pid,
      actor_kind: 'member',
      actor_id: installation.member_id,
      from_address: '203.0.113.7',
      user_agent: 'console/1.0',
      action: 'team.created',
      target: teams[2],
      before: null,
      after: { name: 'three', owner_id: null, cost_centre: null, allowed_models: null, seat_budget: null },
    })
  })

  await t.test('it is asked by actor, target and time, in pages', async () => {
    const all = (await get('/accounts/audit?page_size=500')).body.entries
    const read: unknown[] = []
    let token: string | null = null
    do {
      const more: string = token ? `&continuation_token=${token}` : ''
      const page = (await get(`/accounts/audit?page_size=2${more}`)).body
      read.push(...page.entries)
      token = page.continuation_token
    } while (token)
    assert.deepEqual(read, all)
    const count = async (query: string) => (await get(`/accounts/audit?${query}`)).body.entries.length
    assert.equal(await count(`target=${teams[0]}`), 1)
    assert.equal(await count(`actor=${installation.member_id}`), 3)
    assert.equal(await count('actor=bootstrap&action=account.created'), 1)
    assert.equal(await count(`until=${new Date(0).toISOString()}`), 0)
    assert.equal(await count(`since=${new Date(Date.now() + 60_000).toISOString()}`), 0)
    assert.equal((await get('/accounts/audit?since=yesterday')).status, 400)
    assert.equal((await get('/accounts/audit?order=asc')).status, 400)
  })

  await t.test('nobody reads another account’s or project’s', async () => {
    const theirs = (await get('/accounts/audit?page_size=500', strangerToken)).body.entries
    assert.ok(theirs.length > 0)
    assert.ok(theirs.every((entry: { account_id: string }) => entry.account_id === stranger.accountId))
    assert.equal((await get(`/accounts/projects/${pid}/audit`, strangerToken)).status, 404)
    const { token } = await addMember(db, accountId, pid, 'member', ['auditor'])
    const own = (await get(`/accounts/projects/${pid}/audit`, token)).body.entries
    assert.ok(own.length > 0)
    assert.ok(own.every((entry: { project_id: string }) => entry.project_id === pid))
    assert.equal((await get('/accounts/audit', token)).status, 403)
  })

  await t.test('changes made at once stand in one unbroken trail', async () => {
    const before = (await get('/accounts/audit/verify')).body.entries
    await Promise.all(Array.from({ length: 8 }, (_, index) => makeTeam(`at once ${index}`)))
    const verdict = (await get('/accounts/audit/verify')).body
    assert.deepEqual([verdict.entries, verdict.first_broken], [before + 8, null])
  })

  await t.test('an export holds the chain, and anybody can follow it', async t => {
    const lines = ((await get('/accounts/audit/export')).body as string).trimEnd().split('\n')
    const verdict = (await get('/accounts/audit/verify')).body
    const entries = lines.map(line => JSON.parse(line) as ChainedEntry)
    assert.equal(entries.length, verdict.entries)
    let head = chainStart
    for (const { number, prev_hash, hash, ...said } of entries) {
      const again = chainEntry(head, said)
      assert.deepEqual([again.number, again.prev_hash, again.hash], [number, prev_hash, hash])
      head = again
    }
    assert.equal(head.hash, verdict.hash)

    const file = join(testFolder(t, 'audit'), 'export.ndjson')
    writeFileSync(file, lines.join('\n'))
    const followed = JSON.parse((await run(process.execPath, [program, file])).stdout)
    assert.deepEqual([followed.entries, followed.first_broken], [entries.length, null])
    writeFileSync(
      file,
      lines.map((line, index) => (index === 4 ? line.replace('"action":"', '"action":"x') : line)).join('\n'),
    )
    const failed = await run(process.execPath, [program, file]).catch(error => error)
    assert.equal(failed.code, 1)
    assert.equal(JSON.parse(failed.stdout).first_broken, 5)
  })

  await t.test('who changes the database finds the trail broken where they did', async () => {
    const env = { ...programEnvironment, ACCOUNTS_DATABASE_URL: url }
    const verdictOf = async () => (await get('/accounts/audit/verify')).body.first_broken
    const { entries } = (await get('/accounts/audit/verify')).body
    await tamper(`update audit_entries set actor_id = 'mem_other' where account_id = '${accountId}' and number = 3`)
    assert.equal(await verdictOf(), 3)
    const failed = await run(process.execPath, [program], { env }).catch(error => error)
    assert.equal(failed.code, 1)
    const verdicts = failed.stdout
      .trimEnd()
      .split('\n')
      .map((line: string) => JSON.parse(line))
    const broken = new Map(
      verdicts.map((one: { account_id: string; first_broken: number }) => [one.account_id, one.first_broken]),
    )
    assert.deepEqual([broken.get(accountId), broken.get(stranger.accountId)], [3, null])
    await tamper(`update audit_entries set actor_id = 'bootstrap' where account_id = '${accountId}' and number = 3`)
    assert.equal(await verdictOf(), null)
    // The end itself: nothing follows that could miss it, but the head knows it.
    await tamper(`delete from audit_entries where account_id = '${accountId}' and number = ${entries}`)
    assert.equal(await verdictOf(), entries)
  })
})

test('changes of other services', async t => {
  const scope = closeInReverse(t)
  const accounts = await startAccounts(scope)
  const { db, deps, installation, lines } = accounts
  const { account_id, project_id } = installation
  const { nats, bus } = await startBus(scope, accounts)
  const js = jetstream(nats.admin)
  const stranger = await addAccount(deps)
  const changeOf = (number: number, more: Partial<AuditRecordedData> = {}): AuditRecordedData => ({
    entry_id: `019a0000-0000-7000-8000-${String(number).padStart(12, '0')}`,
    at_ms: 1_795_446_638_000 + number,
    account_id,
    project_id,
    actor_kind: 'member',
    actor_id: installation.member_id,
    from_address: '203.0.113.7',
    user_agent: 'console/1.0',
    action: 'budget.changed',
    target: `bud_${number}`,
    before: { limit: number, nested: [{ b: 1, a: null }] },
    after: { limit: number + 1 },
    ...more,
  })
  const publish = (change: object, service: 'budget' | 'billing' = 'budget') =>
    js.publish(AuditRecorded.subject(service), JSON.stringify(change))
  const verdictOf = (accountId: string) => withinScope({ system: true }, () => verifyAccount(deps.db, accountId))
  const trailOf = async (accountId: string) =>
    (await readAuditTrail(db, accountId, 1, 1_000)).filter(({ action }) => /^(?:budget|stop|price-book)/.test(action))
  const follow = () => chainRecordedChanges({ bus, db: deps.db, now: deps.now, log: deps.log })
  const allTaken = () =>
    eventually(async () => {
      const { num_pending, num_ack_pending } = await (await js.consumers.get('AUDIT', 'accounts-audit')).info()
      return num_pending === 0 && num_ack_pending === 0
    })

  await t.test(
    'what was told while accounts was away stands in the chain, in its order, between changes made here',
    async () => {
      const before = (await verdictOf(account_id)).entries
      for (const number of [1, 2, 3]) await publish(changeOf(number))
      await publish(changeOf(4, { account_id: stranger.accountId, project_id: stranger.projectId }))
      const consumer = await follow()
      await allTaken()
      await consumer.close()
      const trail = await trailOf(account_id)
      assert.deepEqual(
        trail.map(({ target }) => target),
        ['bud_1', 'bud_2', 'bud_3'],
      )
      const { number, hash, prev_hash, ...first } = trail[0] ?? assert.fail()
      const { entry_id: _, at_ms, ...told } = changeOf(1)
      assert.deepEqual(first, { ...told, at: new Date(at_ms).toISOString() })
      const verdict = await verdictOf(account_id)
      assert.deepEqual([verdict.entries, verdict.first_broken], [before + 3, null])
      assert.equal((await trailOf(stranger.accountId)).length, 1)
      assert.equal((await verdictOf(stranger.accountId)).first_broken, null)
      assert.equal((await js.streams.get('AUDIT').then(stream => stream.info())).state.messages, 0, 'kept no longer')
    },
  )

  await t.test('one that comes again, since its instance died, is overtaken by none that was told later', async () => {
    await publish(changeOf(21))
    const held = await (await js.consumers.get('AUDIT', 'accounts-audit')).next({ expires: 5_000 })
    for (const number of [22, 23]) await publish(changeOf(number))
    const instances = [await follow(), await follow()]
    await delay(300)
    held?.nak()
    await allTaken()
    for (const instance of instances) await instance.close()
    const last = (await trailOf(account_id)).slice(-3).map(({ target }) => target)
    assert.deepEqual(last, ['bud_21', 'bud_22', 'bud_23'])
  })

  await t.test('one that is told again, by two instances at once or in one batch, stands there once', async () => {
    const again = [2, 5, 5, 6].map(number => ({
      subject: AuditRecorded.subject('budget'),
      data: Buffer.from(JSON.stringify(changeOf(number))),
    }))
    const own = deps.changes.make({ kind: 'member', id: installation.member_id, accountId: account_id }, change =>
      change.audit({ action: 'test.done', target: 'test' }),
    )
    await Promise.all([own, ...[1, 2, 3].map(() => recordChanges(deps, again))])
    assert.deepEqual((await trailOf(account_id)).map(({ target }) => target).sort(), [
      'bud_1',
      'bud_2',
      'bud_21',
      'bud_22',
      'bud_23',
      'bud_3',
      'bud_5',
      'bud_6',
    ])
    assert.equal((await verdictOf(account_id)).first_broken, null)
  })

  await t.test('a message that is no change of theirs is put aside with its reason, and holds up nothing', async () => {
    await nats.admin.publish(AuditRecorded.subject('budget'), 'no JSON')
    await publish(changeOf(7, { action: 'member.changed' }))
    await publish(changeOf(8, { after: { name: 'a\0b' } }))
    await publish(changeOf(8), 'billing')
    await publish(changeOf(9, { action: 'price-book.ended' }), 'billing')
    const consumer = await follow()
    await allTaken()
    await consumer.close()
    assert.equal((await trailOf(account_id)).at(-1)?.target, 'bud_9')
    assert.equal((await verdictOf(account_id)).first_broken, null)
    const { rows } = await sql<{ reason: string }>`select reason from unread_changes order by unread_id`.execute(db)
    assert.deepEqual(
      rows.map(({ reason }) => /not JSON|store|another service|action/.exec(reason)?.[0]),
      ['not JSON', 'action', 'store', 'another service'],
    )
    assert.equal(lines.filter(line => line.includes('kept in unread_changes')).length, 4)
    const seen = await withinScope({ accountId: account_id }, () =>
      sql`select from unread_changes`.execute(deps.db).then(found => found.rows.length),
    )
    assert.equal(seen, 0, 'no tenant sees them')
  })

  await t.test('a service tells of its own changes alone', async () => {
    const { user, pass } = nats.users.billing
    const billing = await connectBus({ url: nats.url, user, password: pass }, 'billing', deps.log)
    scope.after(() => billing.close())
    const meta = { id: 'x', source: '/billing', timeMs: 0 }
    await assert.rejects(publishEvent(billing, AuditRecorded, ['budget'], changeOf(10), meta))
    await publishEvent(billing, AuditRecorded, ['billing'], changeOf(11, { action: 'price-book.ended' }), meta)
  })
})

test('entries from before the trail was chained are chained by the migration', async t => {
  const scope = closeInReverse(t)
  const { url } = await testPostgres(scope, { schemas: [schemaName] })
  const { db, close } = openDatabase<Tables>({ url, schema: schemaName, maxConnections: 2 })
  scope.after(close)
  const step = migrations.indexOf(chainAudit)
  await runMigrations(db, schemaName, migrations.slice(0, step))
  for (const accountId of ['acct_a', 'acct_b', 'acct_a'])
    await sql`insert into audit_entries (at, account_id, actor_kind, actor_id, action, target, after)
      values (now(), ${accountId}, 'member', 'mem_01', 'team.created', 'team_01', '{"b": 1, "a": [1.5, null]}')`.execute(
      db,
    )
  await runMigrations(db, schemaName, migrations)
  const verdicts = await Promise.all((await listAuditedAccounts(db)).map(accountId => verifyAccount(db, accountId)))
  assert.deepEqual(
    verdicts.map(({ entries, first_broken }) => [entries, first_broken]),
    [
      [2, null],
      [1, null],
    ],
  )
  await assert.rejects(sql`delete from audit_entries`.execute(db), /never changed/)
})
