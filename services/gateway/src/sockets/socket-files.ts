/** A client's connection, and the one to its provider. */
const filesPerSocket = 2
/** Kept for all else at least: the journal, the bus, connections of calls. */
const otherFiles = 200
/** More than that is for who asks for it. */
const mostByDefault = 20_000

/**
 * How many files this process may have open; undefined: any number, or there is no telling on this system. Node has raised its own
 * limit to the hard one. It takes two milliseconds.
 */
export function readOpenFileLimit(): number | undefined {
  const { report } = process
  // Neither is of use here: looking up the names of connections would take time, the environment has secrets.
  Object.assign(report, { excludeNetwork: true, excludeEnv: true })
  const { userLimits } = report.getReport() as { userLimits?: { open_files?: { soft?: unknown } } }
  const limit = userLimits?.open_files?.soft
  return typeof limit === 'number' ? limit : undefined
}

/** Sockets that may be held where nobody has said how many: a tenth of the files stays for calls. */
export function defaultMaxSockets(openFileLimit: number | undefined): number {
  if (openFileLimit === undefined) return mostByDefault
  const files = Math.min(openFileLimit * 0.9, openFileLimit - otherFiles)
  return Math.max(1, Math.min(mostByDefault, Math.floor(files / filesPerSocket)))
}

/** What is wrong with a number of sockets that somebody has set; undefined: nothing. */
export function problemOfMaxSockets(maxSockets: number, openFileLimit: number | undefined): string | undefined {
  const needed = maxSockets * filesPerSocket + otherFiles
  if (openFileLimit === undefined || needed <= openFileLimit) return undefined
  const most = Math.floor((openFileLimit - otherFiles) / filesPerSocket)
  return (
    `GATEWAY_MAX_SOCKETS=${maxSockets} needs ${needed} open files (${filesPerSocket} a socket, ${otherFiles} for all else), and this process may open ` +
    `${openFileLimit}: raise that ("ulimit -n ${needed}", "LimitNOFILE=${needed}" of its unit, "nofile" of its container)` +
    (most > 0 ? `, or set ${most} at most` : '')
  )
}
