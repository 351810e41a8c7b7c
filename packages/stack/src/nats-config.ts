import { serviceNames } from '@sluice/contracts'
import { inboxPrefix, natsPermissions } from './nats-permissions.ts'

export interface NatsConfigOptions {
  /** `host:port`. */
  listen: string
  storeDir: string
  /** How often JetStream's files reach the disk: `always`, or a duration as NATS writes it (`2m`). */
  syncInterval: string
  maxFileStore: string
  /** Password by user: every service and `admin`. May be `$VARIABLES` for a server that reads them from its environment. */
  passwords: Record<string, string>
}

/** The server's configuration file: JetStream, and one user a service with the subjects it needs. */
export function writeNatsConfig(options: NatsConfigOptions): string {
  const users = serviceNames.map(service => {
    const { publish, subscribe } = natsPermissions(service)
    return [
      '    {',
      `      user: ${service}`,
      `      password: ${value(options.passwords[service])}`,
      '      permissions: {',
      `        publish: { allow: ${list(publish.allow)}${publish.deny.length > 0 ? `, deny: ${list(publish.deny)}` : ''} }`,
      `        subscribe: { allow: ${list(subscribe.allow)} }`,
      // A service answers what it is asked on its own subjects, once and soon.
      '        allow_responses: { max: 1, expires: "30s" }',
      '      }',
      '    }',
    ].join('\n')
  })
  return `# Written by the stack; every start writes it again.
listen: ${JSON.stringify(options.listen)}
server_name: sluice
max_payload: 1MB
write_deadline: "10s"
jetstream {
  store_dir: ${JSON.stringify(options.storeDir)}
  sync_interval: ${options.syncInterval}
  max_memory_store: 64MB
  max_file_store: ${options.maxFileStore}
}
authorization {
  users: [
${users.join('\n')}
    {
      user: admin
      password: ${value(options.passwords.admin)}
      permissions: { publish: { allow: [">"] }, subscribe: { allow: [">"] } }
    }
  ]
}
# ${inboxPrefix('<user>')}.> is each user's own: clients set it as their inbox prefix.
`
}

function list(subjects: readonly string[]): string {
  return `[${subjects.map(subject => JSON.stringify(subject)).join(', ')}]`
}

function value(password: string | undefined): string {
  if (password === undefined) throw new TypeError('a NATS user without a password')
  return password.startsWith('$') ? password : JSON.stringify(password)
}
