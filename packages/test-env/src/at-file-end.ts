import { after, suite } from 'node:test'

type Step = () => Promise<void>

const ofFile: Step[] = []
const ofProcess: Step[] = []

/**
 * Runs a step when every test of this file has ended, their own clean-up included: `t.after` hooks run in the order
 * they were given, so one of ours would run before the test has closed what it opened.
 */
export function atFileEnd(step: Step): void {
  ofFile.push(step)
}

/** Runs a step when every test of this process has ended: for what its files share. */
export function atProcessEnd(step: Step): void {
  ofProcess.push(step)
}

/** Where only some tests are asked for, what has none of them is not run, this here included. */
const isFiltered = process.execArgv.some(argument => /^--test-(name-pattern|skip-pattern|only)/.test(argument))

/** Lets the end of the last file be over. */
let goOn: (() => void) | undefined

/**
 * Loads the files of one process, one after the other: where one is to close something at its end, the next waits for its tests
 * and for that. Services of files that have ended would go on asking their stores, which is a good part of what tests take.
 * @param onOver hears of each file when its tests have run, but for a run of some tests only
 */
export async function loadFiles(
  files: readonly string[],
  load: (file: string) => Promise<unknown>,
  onOver: (file: string) => void = () => {},
): Promise<void> {
  for (const file of files) {
    await load(file)
    await endFile(file, onOver)
  }
  goOn?.()
}

/**
 * A process none of whose tests is to be run any more is at its end, and there are none until the next file is loaded: what this
 * puts behind the tests of a file lasts until then.
 */
async function endFile(file: string, onOver: (file: string) => void): Promise<void> {
  const goOnBefore = goOn
  const closes = ofFile.length > 0
  if (!isFiltered)
    await new Promise<void>(resolve => {
      const nextIsLoaded = new Promise<void>(next => {
        goOn = next
      })
      suite(`${file} ${closes ? 'closes what it has opened' : 'is over'}`, () => {
        after(async () => {
          if (closes) await runSteps(ofFile).finally(resolve)
          onOver(file)
          await nextIsLoaded
        })
      })
      goOnBefore?.()
      if (!closes) resolve()
    })
}

/** Last given, first run: a database goes before its server. */
async function runSteps(steps: Step[]): Promise<void> {
  for (const step of steps.splice(0).reverse()) await step()
}

// Registered at import, at the file's level: inside a test the hook would belong to that test. Elsewhere than in a test
// file there is nobody to run it.
if (process.env.NODE_TEST_CONTEXT !== undefined || process.argv[1]?.includes('.test.') === true)
  after(async () => {
    await runSteps(ofFile)
    await runSteps(ofProcess)
  })
