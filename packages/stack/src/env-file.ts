import type { Bootstrap } from './bootstrap-line.ts'

/** The export lines that point clients at this Sluice, for a shell to source. */
export function writeEnvLines(input: {
  url: string
  bootstrap: Bootstrap
  admin: { email: string; password: string }
}): string {
  const { url, bootstrap, admin } = input
  const values: Record<string, string> = {
    SLUICE_URL: url,
    SLUICE_PROJECT_ID: bootstrap.projectId,
    SLUICE_API_KEY: bootstrap.apiKey,
    SLUICE_ADMIN_EMAIL: admin.email,
    SLUICE_ADMIN_PASSWORD: admin.password,
    OPENAI_BASE_URL: `${url}/openai/v1`,
    OPENAI_API_KEY: bootstrap.apiKey,
    ANTHROPIC_BASE_URL: `${url}/anthropic`,
    ANTHROPIC_API_KEY: bootstrap.apiKey,
    MESHAGENT_API_URL: url,
    MESHAGENT_PROJECT_ID: bootstrap.projectId,
    MESHAGENT_API_KEY: bootstrap.apiKey,
  }
  return Object.entries(values)
    .map(([name, value]) => `export ${name}=${quote(value)}\n`)
    .join('')
}

/** As one word of a POSIX shell. */
function quote(value: string): string {
  return /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`
}
