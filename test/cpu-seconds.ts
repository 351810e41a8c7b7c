import { readdirSync, readFileSync } from 'node:fs'

/** Of the kernel's clock: Linux tells times in hundredths of a second, whatever it counts in. */
const ticksPerSecond = 100

/**
 * CPU seconds of a process and of everything that it has started and waited for, or that still runs below it; undefined
 * where the system does not tell.
 */
export function cpuSeconds(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // Behind the name, which may hold anything: state, parent, … user and system time, its own and of its ended children.
    const times = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const own = times.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / ticksPerSecond
    return childrenOf(pid).reduce((sum, child) => sum + (cpuSeconds(child) ?? 0), own)
  } catch {
    return undefined
  }
}

function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap(thread => {
    try {
      return readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
    } catch {
      // A thread that has ended meanwhile.
      return []
    }
  })
}
