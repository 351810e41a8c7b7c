import { spawnSync } from 'node:child_process'
import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import getPort from 'get-port'
import { assertNothingLeft, assertRefused, makeHome, type Start, start } from './run-start.ts'

const isRoot = process.getuid?.() === 0
/** A mount of its own: it goes with the process, whatever becomes of the test. */
const ownMounts = ['unshare', ...(isRoot ? [] : ['--user', '--map-root-user']), '--mount', '--']

async function environment(home: string): Promise<Record<string, string>> {
  const port = String(await getPort({ host: '127.0.0.1' }))
  return { SLUICE_HOME: home, SLUICE_PORT: port, OPENAI_API_KEY: '', ANTHROPIC_API_KEY: '' }
}

/** Starts on a file system of its own that lies over the home. */
function startOnDisk(t: TestContext, home: string, env: Record<string, string>, mountOptions: string): Start {
  const script = 'options=$1 home=$2; shift 2; mount -t tmpfs -o "$options" tmpfs "$home" && exec "$@"'
  return start(t, env, [...ownMounts, '/bin/sh', '-c', script, 'sh', mountOptions, home])
}

function mayMount(home: string): boolean {
  const [command = '', ...args] = [...ownMounts, 'mount', '-t', 'tmpfs', 'tmpfs', home]
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0
}

test('a full disk is one sentence, and nothing is left running', async t => {
  const home = makeHome(t)
  const env = await environment(home)
  if (!mayMount(home)) {
    t.diagnostic('mounting is not allowed here: the disk is full for the last file that a start writes')
    writeFileSync(join(home, 'sluice.json'), '{"layout":1}')
    symlinkSync('/dev/full', join(home, 'env'))
    await assertRefused(start(t, env), /The disk that holds .* is full\. Free some space/)
    assertNothingLeft(home)
    return
  }
  await t.test('less than what a first start needs is said with how much there is', async t => {
    const started = startOnDisk(t, home, env, 'size=16m')
    await assertRefused(started, new RegExp(`There are 1\\d MB free on the disk of ${home}, and at least 512 MB`))
    assertNothingLeft(home)
  })
  await t.test('one that fills while PostgreSQL makes its files is said, and what had begun is ended', async t => {
    // No room for more files is the same error as no room for more bytes, and takes no memory to make.
    const started = startOnDisk(t, home, env, `size=1g,nr_inodes=${isRoot ? 240 : 8}`)
    await assertRefused(started, new RegExp(`The disk that holds ${home} is full\\. Free some space`))
    assertNothingLeft(home)
  })
})
