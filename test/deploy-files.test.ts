import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import {
  findNatsServer,
  gatewayFlags,
  memoryOfBodies,
  natsUsers,
  writeFrontRoutes,
  writeNatsConfig,
} from '@sluice/stack'
import { bundlePrograms, programEnvironment, testNats, testPostgres } from '@sluice/test-env'
import pg from 'pg'

const deploy = join(import.meta.dirname, '..', 'deploy')
const read = (name: string) => readFileSync(join(deploy, name), 'utf8')
const variableOf = (user: string) => `NATS_${user.toUpperCase()}_PASSWORD`

test('the NATS configuration is the one the contracts ask for (SLUICE_UPDATE=1 writes it)', () => {
  const config = writeNatsConfig({
    listen: '0.0.0.0:4222',
    storeDir: '/data',
    syncInterval: 'always',
    maxFileStore: '64GB',
    passwords: Object.fromEntries(natsUsers.map(user => [user, `$${variableOf(user)}`])),
  }).replace(
    /^#.*\n/,
    '# Made from packages/contracts; test/deploy-files.test.ts says when it is not, and writes it with SLUICE_UPDATE=1.\n',
  )
  if (process.env.SLUICE_UPDATE === '1') writeFileSync(join(deploy, 'nats/nats.conf'), config)
  assert.equal(read('nats/nats.conf'), config)
})

test('a NATS server takes that configuration', () => {
  const env = Object.fromEntries(natsUsers.map(user => [variableOf(user), `n-${user}`]))
  execFileSync(findNatsServer(process.env), ['-t', '--config', join(deploy, 'nats/nats.conf')], { env, stdio: 'pipe' })
})

test('a gateway in a container has the engine and the allocator set as on one machine', () => {
  const words = read('run.sh').split(/\s+/)
  const wanted = [...gatewayFlags, ...Object.entries(memoryOfBodies).map(([name, value]) => `${name}=${value}`)]
  assert.deepEqual(
    wanted.filter(word => !words.includes(word)),
    [],
  )
})

test('the gateway hands paths to their owners as on one machine', () => {
  const owner = (service: string) => `http://${service}:8080`
  const routes = writeFrontRoutes({
    accounts: owner('accounts'),
    budget: owner('budget'),
    billing: owner('billing'),
    analytics: owner('analytics'),
  })
  assert.ok(read('compose.yaml').includes(`SLUICE_FRONT_ROUTES: "${routes}"`), routes)
})

test('each service behind the gateway believes containers, which its address is of, when they say where a client is', () => {
  const compose = read('compose.yaml')
  // Docker's own pools of addresses.
  assert.match(compose, /^x-containers: &containers ".*\b172\.16\.0\.0\/12,192\.168\.0\.0\/16\b.*"$/m)
  for (const service of ['ACCOUNTS', 'BUDGET', 'BILLING', 'ANALYTICS'])
    assert.ok(compose.includes(`      ${service}_TRUSTED_PROXIES: *containers\n`), service)
})

test('every variable that the compose file asks for is in the example', () => {
  const asked = [...read('compose.yaml').matchAll(/\$\{([A-Z_]+)(:[?-][^}]*)?\}/g)].map(match => match[1])
  const given = new Set(read('.env.example').match(/^[A-Z_]+(?==)/gm))
  assert.deepEqual(
    [...new Set(asked)].filter(name => name === undefined || !given.has(name)),
    [],
  )
})

test('a gateway starts, and is replaced, behind the services whose word it needs and those that read what it says', () => {
  const after = /^ {2}gateway:\n[\s\S]*?\n {4}depends_on:\n((?: {6}.*\n)+)/m.exec(read('compose.yaml'))?.[1] ?? ''
  const healthy = [...after.matchAll(/^ {6}(\w+): \{ condition: service_healthy \}$/gm)].map(([, service]) => service)
  assert.deepEqual(healthy.sort(), ['accounts', 'billing', 'budget'])
})

test('each mode of the journal can be chosen in the example, and the gateway takes it', async () => {
  const gateway = /^ {2}gateway:\n([\s\S]*?)\n\n {2}\w/m.exec(read('compose.yaml'))?.[1] ?? ''
  const chosen = (mode: string) =>
    Object.fromEntries(
      [...gateway.matchAll(/^ {6}([A-Z_]+): "?([^"\n]*)"?$/gm)].map(([, name = '', value = '']) => [
        name,
        value
          .replace(/\$\{GATEWAY_JOURNAL:-group\}/, mode)
          .replace(/\$\{[A-Z_]+:-(.*?)\}/, '$1')
          .replace(/\$\{[A-Z_]+:\?.*?\}/, 'c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0MTI='),
      ]),
    )
  const program = join(await bundlePrograms(), 'gateway.mjs')
  const check = (mode: string) =>
    execFileSync(process.execPath, [program, '--check-config'], {
      env: { ...programEnvironment, ...chosen(mode) },
      stdio: 'pipe',
    })
  for (const mode of ['group', 'strict', 'replicated']) check(mode)
  assert.throws(() => check('loose'), /GATEWAY_JOURNAL=loose is none of/)
})

test('the provision step prepares servers that it is given, and may run again', async t => {
  const [nats, postgres] = await Promise.all([testNats(t, { provision: false }), testPostgres(t)])
  const program = join(deploy, '../packages/stack/src/migrate.ts')
  const env = {
    ...programEnvironment,
    DATABASE_URL: postgres.url,
    NATS_URL: nats.url,
    NATS_ADMIN_PASSWORD: nats.users.admin.pass,
    ACCOUNTS_DATABASE_PASSWORD: 'a',
    BUDGET_DATABASE_PASSWORD: 'b',
    BILLING_DATABASE_PASSWORD: 'c',
    ANALYTICS_DATABASE_PASSWORD: 'd',
  }
  for (let times = 0; times < 2; times++) execFileSync(process.execPath, [program], { env, stdio: 'pipe' })
  const info = await nats.admin.request('$JS.API.STREAM.INFO.USAGE')
  assert.equal(info.json<{ config: { discard: string } }>().config.discard, 'new')
  const url = Object.assign(new URL(postgres.url), { username: 'billing', password: 'c' })
  const client = new pg.Client({ connectionString: url.href })
  await client.connect()
  t.after(() => client.end())
  await client.query('create table billing.owned (id int)')
  await assert.rejects(client.query('create table accounts.foreign_table (id int)'), /permission denied/)
})
