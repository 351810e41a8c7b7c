import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { installPackages, missingPackages } from '../debian-packages.ts'

const run = promisify(execFile)

/** What to check of a model: at which bounds, as which variant of it. */
export interface Check {
  name: string
  /** What its `#ifdef`s and bounds are to be. */
  defines: readonly string[]
}

/** What spin found. */
export interface Finding {
  /** No state was left out: neither memory nor depth ran out. */
  exhausted: boolean
  errors: number
  /** The first assertion that fails, or what else is wrong. */
  firstError: string
  states: number
  depth: number
  seconds: number
  memoryMb: number
  /** Statements that no run comes to. */
  unreached: string[]
}

/** Installs spin and a C compiler where they are missing, or says how. */
export function ensureModelChecker(): void {
  installPackages('The model of leases', missingPackages({ spin: ['spin'], cc: ['gcc', 'libc6-dev'] }))
}

/** Visits every state of a model, or those up to the first error. Everything that spin says stays in `folder`. */
export async function checkModel(
  model: string,
  check: Check,
  folder: string,
  options: { optimise: boolean; signal: AbortSignal },
): Promise<Finding> {
  mkdirSync(folder, { recursive: true })
  const at = { cwd: folder, maxBuffer: 64 << 20, signal: options.signal }
  await run('spin', [...check.defines.map(define => `-D${define}`), '-a', model], at)
  // The model's steps are atomic already: there is no order of them to reduce.
  const speed = options.optimise ? ['-O3', '-march=native'] : ['-O0']
  // States are kept as they are: they are small, and to tell their parts apart (COLLAPSE) takes half of the time again.
  await run('cc', [...speed, '-DSAFETY', '-DNOREDUCE', '-DMEMLIM=4000', '-o', 'pan', 'pan.c'], at)
  // 2^25 slots: with 2^23 the longest search takes twice as long.
  const { stdout } = await run(join(folder, 'pan'), ['-m100000', options.optimise ? '-w25' : '-w18'], at)
  writeFileSync(join(folder, 'pan.log'), stdout)
  return readFinding(stdout)
}

/** Reads the summary that a verifier of spin prints. */
export function readFinding(printed: string): Finding {
  const number = (pattern: RegExp): number => {
    const found = pattern.exec(printed)?.[1]
    if (found === undefined) throw new Error(`spin's verifier says nothing that matches ${pattern}: ${printed}`)
    return Number(found)
  }
  return {
    exhausted: !/Search not completed|max search depth too small|out of memory|reached -DMEMLIM/.test(printed),
    errors: number(/errors: (\d+)/),
    firstError: /^pan:\d+: (.*)$/m.exec(printed)?.[1] ?? '',
    states: number(/(\d+(?:\.\d+e\+\d+)?) states, stored/),
    depth: number(/depth reached (\d+)/),
    seconds: number(/elapsed time ([\d.e+-]+) seconds/),
    memoryMb: Math.round(number(/([\d.]+)\s+total actual memory usage/)),
    unreached: [...printed.matchAll(/^\t\S+\.pml:(\d+), state \d+, "(.*)"$/gm)]
      .filter(([, , statement]) => statement !== '-end-')
      .map(([, line, statement]) => `${line}: ${statement}`),
  }
}
