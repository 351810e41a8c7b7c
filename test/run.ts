import { spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { availableParallelism, constants } from 'node:os'
import { join } from 'node:path'
import { longestFirst } from './file-order.ts'
import { unitTests } from './unit-tests.ts'

// `npm test [-- --only <part of a path>]…`: every test of the repository in one run, one process a file, a few at a
// time; tests beside the code they test share a process, unless they are asked for. It ends with the files that took longest.
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

const find = (wanted: readonly string[]): string[] =>
  globSync(wanted, { cwd: root, exclude: ['**/node_modules/**'] }).filter(
    file => only.length === 0 || only.some(part => file.includes(part)),
  )
const files = longestFirst([...find(patterns), ...(only.length === 0 ? ['test/unit-tests.ts'] : find(unitTests))])
/** Whoever asks for a reporter gets it alone. */
const reporters = passed.some(argument => argument.startsWith('--test-reporter'))
  ? []
  : ['spec', join(import.meta.dirname, 'slowest-files.ts')].flatMap(reporter => [
      `--test-reporter=${reporter}`,
      '--test-reporter-destination=stdout',
    ])
if (files.length === 0) {
  process.stderr.write(`no test file matches ${only.join(', ')}\n`)
  process.exit(1)
}

const child = spawn(
  process.execPath,
  [
    '--test',
    '--test-global-setup=packages/test-env/src/global-setup.ts',
    `--test-concurrency=${filesAtOnce}`,
    `--test-timeout=${fileTimeoutMs}`,
    ...reporters,
    ...passed,
    ...files,
  ],
  { cwd: root, stdio: 'inherit' },
)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal))
child.on('exit', (code, signal) => {
  process.exit(code ?? 128 + (signal === null ? 0 : constants.signals[signal]))
})
