import { createHash } from 'node:crypto'
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { serviceNames } from '@sluice/contracts'
import type { Plugin } from 'esbuild'
import { bundledPrograms } from './bundled-programs.ts'

const root = join(import.meta.dirname, '..', '..', '..')
const kept = join(root, 'node_modules', '.cache', 'sluice-bundles')
const programs = bundledPrograms(serviceNames)
/** Native, patched as they are loaded, or large and seldom used: loaded from where they are installed. */
const leftAlone = /^(@aws-sdk\/|@opentelemetry\/|@smithy\/|chdb|gpt-tokenizer|pg-native)/
const builtIn = new RegExp(`^(node:.*|${builtinModules.join('|')})$`)

/**
 * The services' programs in one file each, made of their sources as they are now: looking for 1,200 modules, reading and
 * compiling them is most of what a start takes, and a run starts services by the hundred. What stands in a bundle is what would
 * be loaded without it, a service's `@sluice/telemetry/setup` too; it is made once for each state of the sources.
 * @returns the folder, in which Node starts `<service>.mjs`
 */
export async function bundlePrograms(): Promise<string> {
  const folder = join(kept, fingerprint())
  if (existsSync(folder)) {
    const now = new Date()
    utimesSync(folder, now, now)
    return folder
  }
  mkdirSync(kept, { recursive: true })
  dropOld()
  // Under another name until it is whole.
  const draft = mkdtempSync(join(kept, 'draft-'))
  // Not in every test process.
  const { build, stop, transform } = await import('esbuild')
  try {
    await build({
      absWorkingDir: root,
      entryPoints: Object.keys(programs).map(name => ({ in: `${entry.name}:${name}`, out: name })),
      outdir: draft,
      bundle: true,
      platform: 'node',
      target: 'node24',
      // Programs wait at their top level. What is left to import they ask for when they need it, as scripts may too.
      format: 'esm',
      banner: { js: "'use strict';(async $require => { const require = $require;" },
      footer: { js: '})' },
      legalComments: 'none',
      plugins: [entry, atHome, installed, withoutFacades],
      logLevel: 'error',
      // It would be found by whoever needs that module, in the middle of a test.
      logOverride: { 'commonjs-variable-in-esm': 'error' },
    })
    const { code } = await transform(readFileSync(join(import.meta.dirname, 'launch-bundle.ts'), 'utf8'), {
      loader: 'ts',
    })
    for (const name of Object.keys(programs)) writeFileSync(join(draft, `${name}.mjs`), code)
    renameSync(draft, folder)
  } catch (error) {
    // Another run may have made the same meanwhile.
    if (!existsSync(folder)) throw error
  } finally {
    rmSync(draft, { recursive: true, force: true })
    await stop()
  }
  return folder
}

function fingerprint(): string {
  const hash = createHash('sha256')
    .update(root)
    .update(readFileSync(import.meta.filename))
    .update(readFileSync(join(root, 'pnpm-lock.yaml')))
  for (const path of globSync('{packages,services}/*/{package.json,src/**/*.ts}', { cwd: root }).sort())
    hash.update(path).update(readFileSync(join(root, path)))
  return hash.digest('hex').slice(0, 16)
}

/** A run that still uses one was started today. */
function dropOld(): void {
  for (const path of globSync(join(kept, '*')))
    if (Date.now() - statSync(path).mtimeMs > 86_400_000) rmSync(path, { recursive: true, force: true })
}

/** A program exports nothing, and is loaded behind what its service has Node load before it. */
const entry: Plugin = {
  name: 'entry',
  setup(bundle) {
    const prefix = `${entry.name}:`
    bundle.onResolve({ filter: /^entry:/ }, ({ path }) => ({ path: path.slice(prefix.length), namespace: entry.name }))
    bundle.onLoad({ filter: /./, namespace: entry.name }, ({ path: name }) => ({
      contents: (programs[name] ?? []).map(source => `import ${JSON.stringify(join(root, source))}\n`).join(''),
      resolveDir: root,
    }))
  },
}

/** Sources find what lies beside them as if they had stayed where they are, and are the program where their bundle is. */
const atHome: Plugin = {
  name: 'at home',
  setup(bundle) {
    bundle.onLoad({ filter: /\/(packages|services)\/[^/]+\/src\/.*\.ts$/ }, ({ path }) => {
      const text = readFileSync(path, 'utf8')
      return text.includes('import.meta') ? { contents: placeAt(path, text), loader: 'ts' } : undefined
    })
  },
}

function placeAt(path: string, text: string): string {
  let contents = text
  // What is loaded when it is needed is bundled too, and still waits.
  for (const [line, name = ''] of text.matchAll(/^const (\w+) = createRequire\(import\.meta\.url\)$/gm))
    contents = contents.replace(line, '').replaceAll(new RegExp(`\\b${name}\\((?=')`, 'g'), 'require(')
  return contents
    .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href))
    .replaceAll('import.meta.dirname', JSON.stringify(dirname(path)))
    .replaceAll('import.meta.filename', JSON.stringify(path))
    .replaceAll('import.meta.main', isProgram(path))
}

function isProgram(path: string): string {
  const [name] = Object.entries(programs).find(([, sources]) => sources.some(each => join(root, each) === path)) ?? []
  return name === undefined ? 'false' : `(process.argv[1] ?? '').endsWith(${JSON.stringify(`/${name}.mjs`)})`
}

/** What stands in for a module is CommonJS, whatever the name of that says. */
const asCommonJs = '.cjs'

/** What is left alone is found from the module that asks for it, when that needs it. */
const installed: Plugin = {
  name: 'installed',
  setup(bundle) {
    bundle.onResolve({ filter: leftAlone }, async ({ path, pluginData, ...from }) => {
      if (pluginData === installed) return undefined
      const found = await bundle.resolve(path, { ...from, pluginData: installed })
      if (found.errors.length > 0) return { path, external: true }
      if (from.kind === 'import-statement') return { path: `${found.path}${asCommonJs}`, namespace: installed.name }
      return { path: from.kind === 'require-call' ? found.path : pathToFileURL(found.path).href, external: true }
    })
    bundle.onLoad({ filter: /./, namespace: installed.name }, ({ path }) => ({
      contents: `module.exports = $require(${JSON.stringify(path.slice(0, -asCommonJs.length))})`,
      loader: 'js',
    }))
  },
}

/**
 * Of Node's own modules what is imported by name, and no more: an import of one reads all that it exports, and some of that is
 * made when it is first read. Of `http` alone it is a whole client, a twentieth of a start that nobody needs.
 */
const withoutFacades: Plugin = {
  name: 'without facades',
  setup(bundle) {
    bundle.onResolve({ filter: builtIn }, ({ path, kind }) =>
      kind === 'import-statement' ? { path, namespace: withoutFacades.name } : undefined,
    )
    bundle.onLoad({ filter: /./, namespace: withoutFacades.name }, ({ path }) => ({
      contents: [
        `const found = process.getBuiltinModule(${JSON.stringify(path)})`,
        'export default found',
        ...Object.keys(process.getBuiltinModule(path) ?? {}).map(
          (name, i) => `const $${i} = /* @__PURE__ */ (() => found.${name})(); export { $${i} as ${name} }`,
        ),
      ].join('\n'),
      loader: 'js',
    }))
  },
}
