import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import test from 'node:test'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { serviceNames } from '@sluice/contracts'
import { bundlePrograms, programEnvironment, sized } from '@sluice/test-env'

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
  process.once('exit', () => process.stdout.write([...loaded, ...process.moduleLoadList].join('\\n')))
`

interface Checked {
  loaded: string[]
  /** Of Node itself. */
  builtIn: string[]
  said: string[]
}

/** Files that a service has loaded when it reads its configuration, right or wrong, and what it says of it. */
async function checkConfig(service: string, ...program: string[]): Promise<Checked> {
  const hook = `data:text/javascript,${encodeURIComponent(listing)}`
  const run = promisify(execFile)(process.execPath, ['--import', hook, ...program, '--check-config'], {
    cwd: join(root, 'services', service),
    env: programEnvironment,
  })
  const { stdout, stderr } = await run.catch((error: { stdout: string; stderr: string }) => error)
  const said = stderr.split('\n').filter(line => / (is|are) not set/.test(line))
  const lines = stdout.split('\n')
  const ofKind = (kind: string) => lines.filter(line => line.startsWith(kind))
  return { loaded: ofKind('file:'), builtIn: ofKind('NativeModule '), said }
}

/** Parts of libraries that nobody needs before it serves: each is dozens of files, and tests start services by the hundred. */
const notAtStart =
  /@opentelemetry\/|prom-client\/(?:index\.js|lib\/metrics\/)|undici\/(?:index\.js|lib\/(?:web|mock)\/)/

const setup = '@sluice/telemetry/setup'
const bundles = await bundlePrograms()
/** Of the others it is their bundles that are looked at: those load nothing beside them, tracing neither. */
const seenFromSources = sized<readonly string[]>({ small: ['gateway'], full: serviceNames })

for (const [service, ...flags] of [
  ['gateway'],
  ['accounts', '--import', setup],
  ['analytics', '--import', setup],
  ['billing', '--import', setup],
  ['budget', '--import', setup],
] as const) {
  let asked: ReturnType<typeof checkConfig> | undefined
  const fromSources = () => {
    asked ??= checkConfig(service, ...flags, 'src/main.ts')
    return asked
  }

  const isSeen = seenFromSources.includes(service)
  if (isSeen)
    test(`${service} starts without tracing where nobody collects traces, and without what it uses of no library`, async () => {
      const { loaded } = await fromSources()
      assert.ok(loaded.length > 300, `${loaded.length} files`)
      assert.deepEqual(
        loaded.filter(url => notAtStart.test(url)),
        [],
      )
    })

  test(`${service} bundled reads ${isSeen ? 'the same' : 'its'} configuration, of one file and without Node's own client`, async () => {
    const bundled = await checkConfig(service, join(bundles, `${service}.mjs`))
    assert.ok(bundled.said.length > 0)
    if (isSeen) assert.deepEqual(bundled.said, (await fromSources()).said)
    assert.deepEqual(bundled.loaded, [pathToFileURL(join(bundles, `${service}.mjs`)).href])
    assert.ok(bundled.builtIn.includes('NativeModule http'))
    assert.deepEqual(
      bundled.builtIn.filter(name => name.includes('undici')),
      [],
    )
  })
}
