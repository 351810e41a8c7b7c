import { connect } from '@nats-io/transport-node'
import { ConfigReader } from '@sluice/runtime'
import { inboxPrefix } from './nats-permissions.ts'
import { provisionBus } from './provision-bus.ts'
import { databaseServices, provisionDatabases } from './provision-databases.ts'

// `node packages/stack/src/migrate.ts`: streams, buckets, consumers on NATS; a role and a schema a service in PostgreSQL. Where
// the stores are servers, this is a step of its own; then each service's `migrate.ts` makes its tables.
const reader = new ConfigReader(process.env)
const databaseUrl = reader.url('DATABASE_URL')
const natsUrl = reader.string('NATS_URL')
const user = reader.string('NATS_ADMIN_USER', 'admin')
const pass = reader.secret('NATS_ADMIN_PASSWORD')
const replicas = reader.integer('SLUICE_NATS_REPLICAS', 1, { min: 1, max: 5 })
const passwords = new Map(
  databaseServices.map(service => {
    const name = `${service.toUpperCase()}_DATABASE_PASSWORD`
    const password = reader.secret(name)
    if (password === undefined) reader.problem(`${name} is not set`)
    return [service, password ?? '']
  }),
)
reader.check()

await provisionDatabases({ adminUrl: databaseUrl, password: service => passwords.get(service) ?? '' })
const connection = await connect({
  servers: natsUrl,
  name: 'migrate',
  inboxPrefix: inboxPrefix('admin'),
  timeout: 10_000,
  ...(pass === undefined ? {} : { user, pass }),
})
try {
  await provisionBus(connection, { replicas })
} finally {
  await connection.close()
}
console.log(JSON.stringify({ provisioned: ['nats', 'postgres'] }))
