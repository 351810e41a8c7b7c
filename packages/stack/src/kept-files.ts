import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { type DatabaseService, databaseServices } from './provision-databases.ts'
import { newPassword, readOrCreateSecret } from './secret-file.ts'

/** What an installation makes once and keeps in its home, each in a file only its owner may read. */
export interface KeptSecrets {
  /** Wraps every stored secret. Losing it loses them. */
  masterKeyFile: string
  /** Seals what the budget service keeps. */
  budgetKeyFile: string
  databasePasswords: Record<DatabaseService, string>
  adminEmail: string
  adminPassword: string
}

/** Reads them, making those that are not there. */
export function readKeptSecrets(home: string, env: Record<string, string | undefined>): KeptSecrets {
  const masterKeyFile = join(home, 'master-key')
  readOrCreateSecret(masterKeyFile, () => randomBytes(32).toString('base64'))
  const budgetKeyFile = join(home, 'budget-key')
  readOrCreateSecret(budgetKeyFile, () => randomBytes(32).toString('base64'))
  const databasePasswords = JSON.parse(
    readOrCreateSecret(join(home, 'database-passwords.json'), () =>
      JSON.stringify(Object.fromEntries(databaseServices.map(service => [service, newPassword()]))),
    ),
  ) as Record<DatabaseService, string>
  const admin = JSON.parse(
    readOrCreateSecret(join(home, 'admin.json'), () =>
      JSON.stringify({
        email: env.SLUICE_ADMIN_EMAIL || 'admin@localhost',
        password: env.SLUICE_ADMIN_PASSWORD || newPassword(),
      }),
    ),
  ) as { email: string; password: string }
  return { masterKeyFile, budgetKeyFile, databasePasswords, adminEmail: admin.email, adminPassword: admin.password }
}
