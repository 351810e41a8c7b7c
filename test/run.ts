import { globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from 'node:test'
import { globalSetup, globalTeardown } from '@sluice/test-env/global-setup'
import { fullSizeVariable } from '@sluice/test-env/test-size'
import { longestFirst } from './file-order.ts'
import { filesOfGroups, groupFiles } from './groups.ts'
import { joinRuns } from './join-runs.ts'
import { readRunArguments } from './run-arguments.ts'
import { reportersNamed } from './run-reporters.ts'

// `npm test [-- [--full] [--only <part of a path>]…]`: every test of the repository in one run, a few processes at a time: one for
// each file that is asked for, else one for each group (`groups.ts`) and each other file. It ends with what each of them took.
// `run`, and not `node --test`, which begins files in the order of their names.
const root = join(import.meta.dirname, '..')
const patterns = ['packages/*/test/**/*.test.ts', 'services/*/test/**/*.test.ts', 'test/**/*.test.ts']
/** A file that takes longer hangs, also where other programs take the machine. */
const fileTimeoutMs = 900_000
/**
 * Files often wait: for a store that comes back, for a deadline that is to pass. One more at a time costs more than it fills: gateways
 * that are killed take longer to come back, and their clients ask meanwhile.
 */
const filesAtOnce = availableParallelism() + 1
/**
 * Each list one after the other, with what the files above leave of the cores: those that start no installation, and those that wait
 * for much of their time. At the end of a run, by itself, one of these would leave a core with nothing to do.
 */
const filesBeside = [
  ['units', 'faults-of-pure-code', 'repository', 'analytics'],
  ['accounts', 'billing', 'gateway-journals'],
].map(names => names.map(name => `test/groups/${name}.ts`))

const { only, reporters, names, skippedNames, isFull, ofNode } = readRunArguments(process.argv.slice(2))
const grouped = filesOfGroups()
const single = globSync(patterns, { cwd: root, exclude: ['**/node_modules/**'] }).filter(
  file => !grouped.includes(file),
)
const isAskedFor = (file: string) => only.some(part => file.includes(part))
const files = longestFirst(
  only.length === 0
    ? [...groupFiles, ...single]
    : [...groupFiles.filter(file => only.includes(file)), ...[...grouped, ...single].filter(isAskedFor)],
)
if (files.length === 0) {
  process.stderr.write(`no test file matches ${only.join(', ')}\n`)
  process.exit(1)
}

const told = mkdtempSync(join(tmpdir(), 'sluice-run-'))
process.on('exit', () => rmSync(told, { recursive: true, force: true }))
process.env.SLUICE_TEST_CPU = join(told, 'cpu.ndjson')
writeFileSync(process.env.SLUICE_TEST_CPU, '')

if (isFull) process.env[fullSizeVariable] = '1'

// Few of the gateways of a run ever count a token.
process.env.GATEWAY_LOAD_VOCABULARY ??= 'when-needed'

process.chdir(root)
await globalSetup()
const ended = new AbortController()
const beside = filesBeside.map(names => files.filter(file => names.includes(file)))
const events = joinRuns(
  [
    runFiles(
      files.filter(file => !beside.flat().includes(file)),
      filesAtOnce,
    ),
    ...beside.map(each => runFiles(each, 1, ['./low-priority.ts'])),
  ].filter(each => each !== undefined),
)
events.on('end', globalTeardown)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => {
    process.exitCode = 128 + constants.signals[signal]
    ended.abort()
  })
for (const reporter of await reportersNamed(reporters)) events.compose(reporter).pipe(process.stdout)

/** A run of files, at most so many at a time, with these modules loaded before each. @returns nothing where there are none */
function runFiles(files: readonly string[], concurrency: number, modules: readonly string[] = []) {
  if (files.length === 0) return undefined
  const events = run({
    files: files.map(file => join(root, file)),
    concurrency,
    timeout: fileTimeoutMs,
    execArgv: [
      // What a test allocates dies young, where there is room for it to: a twentieth less CPU.
      '--max-semi-space-size=32',
      // Helper threads of the garbage collector take more from the cores, which other files have, than they give: a seventh of the CPU.
      '--single-threaded-gc',
      ...['./untracked-promises.ts', './tell-cpu.ts', ...modules].map(
        each => `--import=${new URL(each, import.meta.url)}`,
      ),
      ...ofNode,
    ],
    ...(names.length === 0 ? {} : { testNamePatterns: names }),
    ...(skippedNames.length === 0 ? {} : { testSkipPatterns: skippedNames }),
    signal: ended.signal,
  })
  events.on('test:fail', ({ todo }) => {
    if (todo === undefined || todo === false) process.exitCode ||= 1
  })
  return events
}
