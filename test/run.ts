import { spawn } from 'node:child_process'
import { globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { longestFirst } from './file-order.ts'
import { filesOfGroups, groupFiles } from './groups.ts'

// `npm test [-- --only <part of a path>]…`: every test of the repository in one run, a few processes at a time: one for each
// file that is asked for, else one for each group (`groups.ts`) and each other file. It ends with what each of them took.
const root = join(import.meta.dirname, '..')
const patterns = ['packages/*/test/**/*.test.ts', 'services/*/test/**/*.test.ts', 'test/**/*.test.ts']
/** A file that takes longer hangs. */
const fileTimeoutMs = 300_000
/** Files often wait: for a store that comes back, for a deadline that is to pass. */
const filesAtOnce = availableParallelism() + 1

const only: string[] = []
const passed: string[] = []
const args = process.argv.slice(2)
for (let i = 0; i < args.length; i++) {
  const argument = args[i] ?? ''
  if (argument === '--only') only.push(args[++i] ?? '')
  else passed.push(argument)
}

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
/** Whoever asks for a reporter gets it alone. */
const reporters = passed.some(argument => argument.startsWith('--test-reporter'))
  ? []
  : ['spec', join(import.meta.dirname, 'files-table.ts')].flatMap(reporter => [
      `--test-reporter=${reporter}`,
      '--test-reporter-destination=stdout',
    ])
if (files.length === 0) {
  process.stderr.write(`no test file matches ${only.join(', ')}\n`)
  process.exit(1)
}

const told = mkdtempSync(join(tmpdir(), 'sluice-run-'))
const cpuTable = join(told, 'cpu.ndjson')
writeFileSync(cpuTable, '')
process.on('exit', () => rmSync(told, { recursive: true, force: true }))

const child = spawn(
  process.execPath,
  [
    `--import=${new URL('./tell-cpu.ts', import.meta.url)}`,
    '--test',
    '--test-global-setup=packages/test-env/src/global-setup.ts',
    `--test-concurrency=${filesAtOnce}`,
    `--test-timeout=${fileTimeoutMs}`,
    ...reporters,
    ...passed,
    ...files,
  ],
  { cwd: root, stdio: 'inherit', env: { ...process.env, SLUICE_TEST_CPU: cpuTable } },
)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal))
child.on('exit', (code, signal) => {
  process.exit(code ?? 128 + (signal === null ? 0 : constants.signals[signal]))
})
