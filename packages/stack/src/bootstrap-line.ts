import { readFileSync } from 'node:fs'
import { StackError } from './stack-error.ts'

/** What the accounts service makes the first time and finds again afterwards. */
export interface Bootstrap {
  accountId: string
  adminEmail: string
  projectId: string
  teamId: string
  keyId: string
  apiKey: string
}

/** Reads the one JSON line that the accounts service's bootstrap prints. @throws StackError */
export function parseBootstrap(output: string): Bootstrap {
  const line = output.trim().split('\n').at(-1) ?? ''
  let fields: Record<string, unknown>
  try {
    fields = JSON.parse(line) as Record<string, unknown>
  } catch (cause) {
    throw new StackError('The first account could not be made: accounts printed no JSON line.', { cause })
  }
  const text = (name: string): string => {
    const value = fields[name]
    if (typeof value !== 'string' || value === '')
      throw new StackError(`The first account could not be made: ${name} is missing.`)
    return value
  }
  return {
    accountId: text('account_id'),
    adminEmail: text('admin_email'),
    projectId: text('project_id'),
    teamId: text('team_id'),
    keyId: text('key_id'),
    apiKey: text('api_key'),
  }
}

/** Reads the file in which the bootstrap keeps what it has made. @throws StackError */
export function readBootstrap(path: string): Bootstrap {
  return parseBootstrap(JSON.stringify(JSON.parse(readFileSync(path, 'utf8'))))
}
