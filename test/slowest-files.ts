import { relative, resolve } from 'node:path'
import type { TestEvent } from 'node:test/reporters'

const shown = 10

/** A reporter of `node --test`: the files that took longest, at the end of a run. */
export default async function* slowestFiles(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const files: { file: string; ms: number }[] = []
  for await (const { type, data } of source) {
    // A file is a test that is named by its path, as it was given.
    if (type === 'test:complete' && data.file !== undefined && resolve(data.name) === data.file)
      files.push({ file: relative(process.cwd(), data.file), ms: data.details.duration_ms })
  }
  if (files.length < 2) return
  files.sort((a, b) => b.ms - a.ms)
  yield '\nslowest files\n'
  for (const { file, ms } of files.slice(0, shown)) yield `${(ms / 1000).toFixed(1).padStart(7)} s  ${file}\n`
}
