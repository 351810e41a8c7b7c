import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import test from 'node:test'
import { promisify } from 'node:util'

const root = join(import.meta.dirname, '..')

/** Prints what a program has loaded when it ends. */
const listing = `
  import { registerHooks } from 'node:module'
  const loaded = []
  registerHooks({
    load: (url, context, next) => {
      loaded.push(url)
      return next(url, context)
    },
  })
  process.once('exit', () => process.stdout.write(loaded.join('\\n')))
`

/** Files that a service has loaded when it reads its configuration, right or wrong. */
async function loadedBy(service: string, ...flags: string[]): Promise<string[]> {
  const hook = `data:text/javascript,${encodeURIComponent(listing)}`
  const args = ['--import', hook, ...flags, 'src/main.ts', '--check-config']
  const run = promisify(execFile)(process.execPath, args, {
    cwd: join(root, 'services', service),
    env: { PATH: process.env.PATH },
  })
  const { stdout } = await run.catch((error: { stdout: string }) => error)
  return stdout.split('\n')
}

/** Parts of libraries that nobody needs before it serves: each is dozens of files, and tests start services by the hundred. */
const notAtStart =
  /@opentelemetry\/|prom-client\/(?:index\.js|lib\/metrics\/)|undici\/(?:index\.js|lib\/(?:web|mock)\/)/

for (const [service, ...flags] of [
  ['gateway'],
  ['accounts', '--import', '@sluice/telemetry/setup'],
  ['analytics', '--import', '@sluice/telemetry/setup'],
  ['billing', '--import', '@sluice/telemetry/setup'],
  ['budget', '--import', '@sluice/telemetry/setup'],
] as const)
  test(`${service} starts without tracing where nobody collects traces, and without what it uses of no library`, async () => {
    const loaded = await loadedBy(service, ...flags)
    assert.ok(loaded.length > 300, `${loaded.length} files`)
    assert.deepEqual(
      loaded.filter(url => notAtStart.test(url)),
      [],
    )
  })
