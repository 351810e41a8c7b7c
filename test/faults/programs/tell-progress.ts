/** What a line on the error output begins with that says how far a program is. */
export const progressMark = 'progress: '

const betweenMs = 30_000

/** Says now and then how many of so many are done, to whoever reads the program's error output. */
export function tellProgress(all: number, what: string): (done: number) => void {
  let saidAt = performance.now()
  return done => {
    const now = performance.now()
    if (now - saidAt < betweenMs) return
    saidAt = now
    process.stderr.write(`${progressMark}${done.toLocaleString('en')} of ${all.toLocaleString('en')} ${what}\n`)
  }
}
