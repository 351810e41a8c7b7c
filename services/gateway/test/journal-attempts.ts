import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CheckpointRecord, OpenRecord } from '../src/journal/open-record.ts'
import { OpenReader } from '../src/journal/open-text.ts'
import { readFrame, recordType } from '../src/journal/record.ts'

/** An attempt as the next run of its gateway would find it. */
export interface JournaledAttempt {
  open: OpenRecord
  /** What it was last said to have used. */
  checkpoint?: CheckpointRecord
  isClosed: boolean
}

/** The attempts of a project that stand in the journal of a gateway: what others have left there is not taken for its own. */
export function attemptsIn(directory: string, { projectId }: { projectId: string }): JournaledAttempt[] {
  const attempts = new Map<string, JournaledAttempt>()
  for (const name of readdirSync(directory)
    .filter(each => each.endsWith('.journal'))
    .sort()) {
    const segment = readFileSync(join(directory, name))
    const opens = new OpenReader('', 0)
    for (let frame = readFrame(segment, 0); typeof frame === 'object'; frame = readFrame(segment, frame.end)) {
      const json = frame.json.toString()
      if (frame.type === recordType.open) {
        const { record: open } = opens.read(json)
        if (open?.identity.project_id === projectId) attempts.set(open.event_id, { open, isClosed: false })
        continue
      }
      // What stands before the project's first attempt is none of its own.
      if (attempts.size === 0) continue
      if (frame.type === recordType.checkpoint) {
        const checkpoint = JSON.parse(json) as CheckpointRecord
        const attempt = attempts.get(checkpoint.event_id)
        if (attempt) attempt.checkpoint = checkpoint
      } else if (frame.type === recordType.close) {
        const attempt = attempts.get((JSON.parse(json) as { event_id: string }).event_id)
        if (attempt) attempt.isClosed = true
      }
    }
  }
  return [...attempts.values()]
}

/** What a gateway that dies now has noted of output of a project's running attempts. */
export const spokenIn = (directory: string, project: { projectId: string }): number[] =>
  attemptsIn(directory, project)
    .filter(({ isClosed }) => !isClosed)
    .map(({ checkpoint }) => checkpoint?.quantities.out_text ?? 0)
