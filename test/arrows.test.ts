import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { findFolderViolations, findUnusedArrows, gatewayArrows } from './folder-arrows.ts'
import { findViolations, type SourceFile } from './import-arrows.ts'

const root = join(import.meta.dirname, '..')

/** All sources, but of fixtures and of what is installed. */
function readSources(): SourceFile[] {
  const paths = globSync('{packages,services}/*/{package.json,src/**/*,test/**/*}', {
    cwd: root,
    withFileTypes: true,
    exclude: entry => entry.name === 'node_modules' || entry.name === 'fixtures',
  })
  const tests = globSync('test/{package.json,**/*.ts}', {
    cwd: root,
    withFileTypes: true,
    exclude: entry => entry.name === 'node_modules',
  })
  const files = [...paths, ...tests]
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))
    .map(path => ({ path: path.slice(root.length + 1), text: readFileSync(path, 'utf8') }))
  assert.ok(files.length > 100, `${files.length} files were found`)
  return files
}

const sources = readSources()

test('services → packages → contracts, and no arrow points back', () => {
  assert.deepEqual(findViolations(sources), [])
})

test('no service evaluates what it is sent, renders templates or starts programs', () => {
  const runs = /\beval\(|new Function\(|['"](?:node:)?(?:vm|child_process|repl|cluster)['"]|\bimport\((?!['"])/
  const served = sources.filter(
    ({ path }) =>
      /^(?:services\/[^/]+|packages\/(?!stack|test-env|simulator|cli)[^/]+)\/src\/.*\.ts$/.test(path) &&
      !path.endsWith('.test.ts'),
  )
  assert.ok(served.length > 300, `${served.length} files`)
  assert.deepEqual(
    served.filter(({ text }) => runs.test(text)).map(({ path }) => path),
    [],
  )
  assert.match("const { exec } = await import('node:child_process')", runs)
})

test('every advisory in the table has the tests it names', () => {
  const table = readFileSync(join(root, 'test', 'README.md'), 'utf8')
  const named = [...table.matchAll(/\[`([^`]+)`\]\(([^)]+)\)/g)]
  assert.ok(named.length >= 20, `${named.length} tests`)
  for (const [, name = '', link = ''] of named) {
    const text = readFileSync(join(root, 'test', link), 'utf8')
    assert.ok(text.includes(name), `${link} has no test "${name}"`)
  }
})

test('the folders of the gateway stand on each other in one direction', () => {
  assert.deepEqual(findFolderViolations(sources, 'services/gateway/src', gatewayArrows), [])
  assert.deepEqual(findUnusedArrows(sources, 'services/gateway/src', gatewayArrows), [])
  const order = Object.keys(gatewayArrows)
  for (const [folder, allowed] of Object.entries(gatewayArrows))
    for (const target of allowed) assert.ok(order.indexOf(target) < order.indexOf(folder), `${folder} → ${target}`)
})

for (const [name, path, specifier, problem] of [
  ['an arrow that points back', 'g/src/low/x.ts', '../high/y.ts', /low\/ does not stand on high\//],
  ['a folder that does not know the path of a call', 'g/src/low/x.ts', '../call.ts', /does not stand on these/],
  ['a folder that stands nowhere', 'g/src/new/x.ts', 'node:fs', /stands nowhere/],
] as const)
  test(`${name} is found`, () => {
    const text = `import { y } from '${specifier}'`
    const good = { path: 'g/src/high/y.ts', text: "import { x } from '../low/x.ts'\nimport { z } from './z.ts'" }
    const arrows = { low: [], high: ['low'] }
    assert.deepEqual(findFolderViolations([good], 'g/src', arrows), [])
    assert.match(findFolderViolations([good, { path, text }], 'g/src', arrows).join('\n'), problem)
  })

/** A small workspace in which all arrows are right. */
const sound: SourceFile[] = [
  manifest('packages/contracts', '@sluice/contracts'),
  manifest('packages/pricing', '@sluice/pricing', '@sluice/contracts'),
  manifest('packages/simulator', '@sluice/simulator'),
  manifest('services/billing', '@sluice/billing', '@sluice/contracts', '@sluice/bus', 'kysely'),
  manifest('services/budget', '@sluice/budget', '@sluice/contracts'),
  manifest('test', '@sluice/stories'),
  { path: 'services/billing/src/main.ts', text: "import { connectBus } from '@sluice/bus'\nreadConfig(process.env)" },
  { path: 'services/billing/src/ledger.ts', text: "import type { Series } from '@sluice/contracts'" },
  {
    path: 'services/billing/src/ledger-store.ts',
    text: "import { sql } from 'kysely'\nimport { post } from './ledger.ts'",
  },
  { path: 'services/billing/src/consumers/usage-recorded.ts', text: "import { consume } from '@sluice/bus'" },
]

test('a sound workspace has no violation', () => assert.deepEqual(findViolations(sound), []))

const wrong: [name: string, path: string, text: string, problem: RegExp][] = [
  [
    'a service that imports another',
    'services/billing/src/x.ts',
    "import { b } from '@sluice/budget'",
    /no service imports/,
  ],
  [
    'a service that reaches into another',
    'services/billing/src/x.ts',
    "import { b } from '../../budget/src/b.ts'",
    /border/,
  ],
  [
    'a package that imports a service',
    'packages/pricing/src/x.ts',
    "import { b } from '@sluice/billing'",
    /nothing imports a/,
  ],
  ['an undeclared import', 'services/budget/src/x.ts', "import {\n  a,\n} from '@sluice/pricing'", /does not declare/],
  [
    'an undeclared dynamic import',
    'services/budget/src/x.ts',
    "const a = await import('@sluice/pricing')",
    /does not declare/,
  ],
  [
    'contracts that know a package',
    'packages/contracts/src/x.ts',
    "export * from '@sluice/pricing'",
    /no other package/,
  ],
  ['a pure package that does I/O', 'packages/pricing/src/x.ts', "import { readFileSync } from 'node:fs'", /is domain/],
  ['a domain file that does I/O', 'services/billing/src/ledger.ts', "import { sql } from 'kysely'", /is domain/],
  [
    'a route that sees the database',
    'services/billing/src/routes/x.ts',
    "import type { Kysely } from 'kysely'",
    /database/,
  ],
  [
    'a route that sees the bus',
    'services/billing/src/routes/x.ts',
    "import { publish } from '@sluice/bus'",
    /see the bus/,
  ],
  [
    'a builder that loads an engine of types',
    'services/billing/src/routes/x.ts',
    "import { Type } from 'typebox'",
    /450 files/,
  ],
  [
    'a second reader of the environment',
    'services/billing/src/config.ts',
    'const port = process.env.PORT',
    /process\.env/,
  ],
  ['a witness that copies', 'packages/simulator/src/x.ts', "import { rate } from '@sluice/pricing'", /witness/],
  ['a folder without a noun', 'services/billing/src/utils/money.ts', '', /says nothing/],
  ['a file without a noun', 'services/billing/src/types.ts', '', /says nothing/],
]
for (const [name, path, text, problem] of wrong) {
  test(`${name} is found`, () => {
    const files = [...sound.filter(file => file.path !== path), { path, text }]
    assert.match(findViolations(files).join('\n'), problem)
  })
}

function manifest(folder: string, name: string, ...dependencies: string[]): SourceFile {
  return {
    path: `${folder}/package.json`,
    text: JSON.stringify({ name, dependencies: Object.fromEntries(dependencies.map(key => [key, '*'])) }),
  }
}
