import { type AskDeps, askForStream } from '../exchanges/ask-provider.ts'
import type { Route } from '../resolve-route.ts'
import { type BatchStanding, batchDialects } from './batch-dialect.ts'
import type { OwnedBatch } from './batch-draft.ts'
import { readLines } from './read-lines.ts'

const notKept = { write: () => {} }

/**
 * Counts the results of a batch before anything of them is written, which an earlier try has done up to `written` lines.
 * @throws ProviderAwayError, Error where they are not all there, and no more than were written before
 */
export async function countResults(
  deps: AskDeps,
  route: Route,
  job: OwnedBatch,
  standing: BatchStanding,
  control: { headers: readonly string[]; stillOurs: () => Promise<void>; signal: AbortSignal; written: number },
): Promise<void> {
  let lines = 0
  for (const path of batchDialects[job.dialect].resultPaths(standing)) {
    const { status, body } = await askForStream(deps, route, {
      method: 'GET',
      path: `${route.basePath}${path}`,
      headers: control.headers,
      signal: control.signal,
    })
    try {
      if (status !== 200) throw new Error(`the provider answered ${status} for the results`)
      // What a line says is not asked, so none is kept.
      for await (const _ of readLines(body, { maxBytes: 1, openLong: () => notKept })) {
        lines++
        await control.stillOurs()
      }
    } finally {
      body.destroy()
    }
  }
  const expected = standing.requestCount ?? job.creator.request_count
  if (lines < expected && lines <= control.written)
    throw new Error(`the provider gave ${lines} of ${expected} results, no more than before`)
}
