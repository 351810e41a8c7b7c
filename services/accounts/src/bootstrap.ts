import { ConfigReader, createSecretBox, withinScope } from '@sluice/runtime'
import { bootstrapInstallation } from './bootstrap-installation.ts'
import { readMasterKey } from './config.ts'
import { openTenants } from './db/open-tenants.ts'
import { keepInstallation, readKeptKey } from './installation-file.ts'
import { findPasswordProblem } from './password.ts'

// `node src/bootstrap.ts`: what an installation starts with, as one JSON line on stdout. May run as often as one likes; what
// it announces goes out when the service starts.
const reader = new ConfigReader(process.env)
const url = reader.url('ACCOUNTS_DATABASE_URL')
const masterKey = readMasterKey(reader)
const email = reader.string('SLUICE_ADMIN_EMAIL')
const password = reader.secret('SLUICE_ADMIN_PASSWORD')
const file = reader.string('SLUICE_BOOTSTRAP_FILE')
const problem = findPasswordProblem(password)
if (problem) reader.problem(`SLUICE_ADMIN_PASSWORD ${problem}; make one with: openssl rand -base64 24`)
if (email !== '' && !/^[^\s@]+@[^\s@]+$/.test(email)) reader.problem('SLUICE_ADMIN_EMAIL is not an e-mail address')
reader.check()

const database = openTenants(url, 2)
try {
  const kept = readKeptKey(file)
  const { installation, created } = await withinScope({ system: true }, () =>
    bootstrapInstallation(
      { db: database.db, box: createSecretBox(masterKey), now: Date.now },
      { email, password: password ?? '' },
      kept,
    ),
  )
  keepInstallation(file, installation)
  if (created.includes('key') && !created.includes('project'))
    console.error(
      `The default key's value was not in ${file}, so a new key was made: ${installation.key_id}. Earlier ones still work; revoke what you do not use.`,
    )
  if (created.includes('password') && !created.includes('account'))
    console.error('The administrator’s password was changed to SLUICE_ADMIN_PASSWORD; earlier sessions have ended.')
  console.log(JSON.stringify(installation))
} finally {
  await database.close()
}
