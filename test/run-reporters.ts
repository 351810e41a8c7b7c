import { dot, junit, lcov, spec, tap } from 'node:test/reporters'
import filesTable from './files-table.ts'

const builtIn: Record<string, () => unknown> = {
  dot: () => dot,
  junit: () => junit,
  lcov: () => new lcov(),
  spec: () => new spec(),
  tap: () => tap,
}

/** What a run is told with: reporters of Node by their names, others by their modules; of none, our own. */
export async function reportersNamed(names: readonly string[]): Promise<NodeJS.ReadableStream[]> {
  const reporters =
    names.length === 0
      ? [new spec(), filesTable]
      : await Promise.all(names.map(async name => builtIn[name]?.() ?? (await import(name)).default))
  // Streams, and functions that make one of another: whoever composes takes both.
  return reporters as NodeJS.ReadableStream[]
}
