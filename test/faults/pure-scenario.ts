import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { pathToFileURL } from 'node:url'
import type { Replacement } from './mutant.ts'
import { progressMark } from './programs/tell-progress.ts'
import type { Outcome, Scenario, ScenarioRun } from './scenario.ts'

const here = import.meta.dirname

/**
 * A promise of pure code: no stores, one program of `programs/` that checks it and prints its outcome. As a process of its
 * own, so that a mutant can be loaded in place of the code and memory can be measured.
 */
export function pureScenario<Size extends object>(options: {
  name: string
  promise: string
  program: string
  full: Size
  small: Size
  mutant: { name: string; size: Size; replacements: readonly Replacement[] }
}): Scenario<Size> {
  const { name, promise, program, full, small, mutant } = options
  return {
    name,
    promise,
    full,
    small,
    run: (run, size) => runProgram(run, program, size, []),
    mutant: {
      name: mutant.name,
      size: mutant.size,
      run: (run, size) => runProgram(run, program, size, mutant.replacements),
    },
  }
}

export async function runProgram(
  run: ScenarioRun,
  program: string,
  size: object,
  replacements: readonly Replacement[],
): Promise<Outcome> {
  const preload =
    replacements.length === 0 ? [] : ['--import', pathToFileURL(join(here, 'mutants', 'replace-source.ts')).href]
  const child = spawn(
    process.execPath,
    ['--expose-gc', ...preload, join(here, 'programs', program), JSON.stringify({ ...size, seed: run.seed })],
    {
      env: { ...process.env, SLUICE_MUTANT: JSON.stringify(replacements) },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  run.scope.after(() => void child.kill())
  let said = ''
  createInterface(child.stderr).on('line', line => {
    if (line.startsWith(progressMark)) run.say(line.slice(progressMark.length))
    else said += `${line}\n`
  })
  const [printed] = await Promise.all([text(child.stdout), once(child, 'close')])
  writeFileSync(join(run.logs, `${program}.log`), printed + said)
  if (child.exitCode !== 0)
    return { figures: {}, kept: [{ promise: 'it ends without an exception', kept: false, found: said.slice(0, 400) }] }
  return JSON.parse(printed) as Outcome
}
