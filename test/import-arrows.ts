import { posix } from 'node:path'

/** A source file by its path from the root, or a package.json. */
export interface SourceFile {
  path: string
  text: string
}

export interface Import {
  specifier: string
  /** `@scope/name` or `name`; undefined for relative ones and Node's own. */
  packageName: string | undefined
  typeOnly: boolean
}

interface Manifest {
  folder: string
  name: string
  runtime: Set<string>
  all: Set<string>
}

const io = /^(node:(fs|net|http|https|http2|tls|dns|dgram|child_process|worker_threads|cluster)(\/|$)|undici$|fastify$)/
const stores = new Set(['kysely', 'pg', '@clickhouse/client', 'chdb', '@sluice/postgres', '@sluice/clickhouse'])
const isBus = (name: string) => name === '@sluice/bus' || name.startsWith('@nats-io/')
const pureFolders = ['packages/contracts', 'packages/leases', 'packages/pricing', 'packages/usage']
const emptyNames = /(^|\/)(utils?|helpers?|common|types|constants|misc|shared)(\/|\.[a-z.]+$)/

/** Every arrow that points the wrong way, as `path: what is wrong`. Empty: the layers hold. */
export function findViolations(files: readonly SourceFile[]): string[] {
  const manifests = files.filter(file => file.path.endsWith('package.json')).map(readManifest)
  const services = new Set(manifests.filter(m => m.folder.startsWith('services/')).map(m => m.name))
  const found: string[] = []
  for (const file of files) {
    const { path } = file
    const owner = manifests.find(manifest => path.startsWith(`${manifest.folder}/`))
    if (!owner) continue
    if (emptyNames.test(path)) found.push(`${path}: a name that says nothing; put the function with its noun`)
    if (!/\.(ts|tsx|mts)$/.test(path)) continue
    const isTest = path.includes('.test.') || path.includes('/test/') || owner.folder === 'test'
    const say = (problem: string) => found.push(`${path}: ${problem}`)
    if (!isTest && readsEnvironment(file.text) && !mayReadEnvironment(path))
      say('reads process.env; only entry files do, and hand it to readConfig')
    for (const imported of readImports(file.text)) checkImport({ path, owner, isTest, imported, services, files, say })
  }
  return found
}

function checkImport(at: {
  path: string
  owner: Manifest
  isTest: boolean
  imported: Import
  services: ReadonlySet<string>
  files: readonly SourceFile[]
  say: (problem: string) => void
}): void {
  const { path, owner, isTest, say } = at
  const { specifier, packageName, typeOnly } = at.imported
  if (specifier.startsWith('.')) {
    const target = posix.join(posix.dirname(path), specifier)
    if (!target.startsWith(`${owner.folder}/`)) say(`imports ${target} across a package border`)
    return
  }
  if (packageName !== undefined && packageName !== owner.name) {
    const declared = isTest ? owner.all : owner.runtime
    if (!declared.has(packageName)) say(`imports ${packageName}, which ${owner.folder}/package.json does not declare`)
    if (at.services.has(packageName))
      say(
        `imports ${packageName}; ${owner.folder.startsWith('services/') ? 'no service imports another' : 'nothing imports a service'}`,
      )
    if (owner.name === '@sluice/contracts' && packageName.startsWith('@sluice/'))
      say('contracts import no other package')
    if (owner.name === '@sluice/simulator' && ['@sluice/usage', '@sluice/pricing'].includes(packageName))
      say(`imports ${packageName}; the simulator is the independent witness`)
  }
  if (isTest) return
  // Every file of a library is loaded by every process that starts.
  if (packageName === 'typebox' && !typeOnly && !(owner.name === '@sluice/contracts' && specifier === 'typebox/schema'))
    say(
      `imports ${specifier} with its 450 files; Type and checkOf of @sluice/contracts write and check schemas without`,
    )
  // The type of a handle that is passed on, or of an outbox entry, sees nothing; Kysely's own types are the database.
  const isHandle = typeOnly && packageName?.startsWith('@sluice/')
  const isStore = packageName !== undefined && stores.has(packageName) && !isHandle
  const bus = packageName !== undefined && isBus(packageName) && !isHandle
  if (isDomain(path, at.files) && (io.test(specifier) || isStore || bus)) say(`is domain and imports ${specifier}`)
  if (!owner.folder.startsWith('services/')) return
  if (isStore && !/(-store\.ts|\/db\/.*|\/queries\/.*|\/(main|migrate|bootstrap|verify-audit)\.ts)$/.test(path))
    say(`imports ${specifier}; only *-store.ts, queries/ and db/ see a database`)
  if (
    bus &&
    !/(\/consumers\/.*|\/views\/.*|-publisher\.ts|outbox[^/]*\.ts|\/(main|migrate|bootstrap|verify-audit)\.ts)$/.test(
      path,
    )
  )
    say(`imports ${specifier}; only consumers/, views/, *-publisher.ts and the outbox see the bus`)
}

/** Domain: the pure packages, and in a service the noun that stands beside its store. */
function isDomain(path: string, files: readonly SourceFile[]): boolean {
  if (pureFolders.some(folder => path.startsWith(`${folder}/src/`))) return true
  if (!path.startsWith('services/') || path.endsWith('-store.ts')) return false
  const store = path.replace(/\.ts$/, '-store.ts')
  return files.some(file => file.path === store)
}

function mayReadEnvironment(path: string): boolean {
  if (path.startsWith('services/'))
    return /^services\/[^/]+\/src\/(main|migrate|bootstrap|verify-audit)\.ts$/.test(path)
  // `stack`, `simulator`, `cli` and `test-env` are programs; `setup.ts` is loaded before one.
  return /^packages\/(stack|simulator|cli|test-env)\//.test(path) || path === 'packages/telemetry/src/setup.ts'
}

function readsEnvironment(text: string): boolean {
  return text.split('\n').some(line => !/^\s*(\/\/|\*|\/\*)/.test(line) && /\bprocess\.env\b/.test(line))
}

/** Import, re-export and dynamic import, type-only ones too: a type is knowledge as well. */
export function readImports(text: string): Import[] {
  const pattern =
    /^[ \t]*(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]|^[ \t]*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm
  return [...text.matchAll(pattern)].map(match => {
    const specifier = match[1] ?? match[2] ?? match[3] ?? ''
    const isPackage = !specifier.startsWith('.') && !specifier.startsWith('node:')
    const parts = specifier.split('/')
    const packageName = specifier.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0]
    const typeOnly = /^\s*(import|export)\s+type\b/.test(match[0])
    return { specifier, packageName: isPackage ? packageName : undefined, typeOnly }
  })
}

function readManifest(file: SourceFile): Manifest {
  const json = JSON.parse(file.text) as Record<string, unknown> & { name: string }
  const names = (field: string) => Object.keys((json[field] as Record<string, string> | undefined) ?? {})
  const runtime = [...names('dependencies'), ...names('optionalDependencies'), ...names('peerDependencies')]
  return {
    folder: posix.dirname(file.path),
    name: json.name,
    runtime: new Set(runtime),
    all: new Set([...runtime, ...names('devDependencies')]),
  }
}
