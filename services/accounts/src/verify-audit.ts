import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { ConfigReader, withinScope } from '@sluice/runtime'
import type { ChainedEntry } from './audit-chain.ts'
import { listAuditedAccounts } from './audit-store.ts'
import { openTenants } from './db/open-tenants.ts'
import { type AuditVerdict, verifyAccount, verifyTrail } from './verify-audit-trail.ts'

// `node src/verify-audit.ts`: follows the audit trail of every account of ACCOUNTS_DATABASE_URL; `… <file>`: that of an
// export. One JSON line each; ends with 1 where one is broken.
async function* entriesOf(file: string): AsyncGenerator<ChainedEntry[]> {
  for await (const line of createInterface({ input: createReadStream(file) })) {
    if (line !== '') yield [JSON.parse(line) as ChainedEntry]
  }
}

function tell(of: object, verdict: AuditVerdict): void {
  console.log(JSON.stringify({ ...of, ...verdict }))
  if (verdict.first_broken !== null) process.exitCode = 1
}

const [, , file] = process.argv
if (file !== undefined) tell({ file }, await verifyTrail(entriesOf(file), undefined))
else {
  const reader = new ConfigReader(process.env)
  const url = reader.url('ACCOUNTS_DATABASE_URL')
  reader.check()
  const database = openTenants(url, 2)
  try {
    await withinScope({ system: true }, async () => {
      for (const accountId of await listAuditedAccounts(database.db))
        tell({ account_id: accountId }, await verifyAccount(database.db, accountId))
    })
  } finally {
    await database.close()
  }
}
