/** What `npm test -- …` is asked for. */
export interface RunArguments {
  /** Parts of the paths of files; empty: all files. */
  only: string[]
  /** Names of reporters; empty: our own. */
  reporters: string[]
  /** Of tests. */
  names: string[]
  skippedNames: string[]
  /** Every test at its full size. */
  isFull: boolean
  /** Everything else is for the Node that runs each file. */
  ofNode: string[]
}

/** Reads `--only <part>`, `--full` and the options of `node --test` that choose tests and reporters, with `=` or as two arguments. */
export function readRunArguments(args: readonly string[]): RunArguments {
  const asked: RunArguments = { only: [], reporters: [], names: [], skippedNames: [], isFull: false, ofNode: [] }
  const lists: Record<string, string[]> = {
    '--only': asked.only,
    '--test-reporter': asked.reporters,
    '--test-name-pattern': asked.names,
    '--test-skip-pattern': asked.skippedNames,
  }
  for (let i = 0; i < args.length; i++) {
    const argument = args[i] ?? ''
    const [name = '', ...value] = argument.split('=')
    const list = lists[name]
    if (argument === '--full') asked.isFull = true
    else if (list === undefined) asked.ofNode.push(argument)
    else list.push(value.length > 0 ? value.join('=') : (args[++i] ?? ''))
  }
  return asked
}
