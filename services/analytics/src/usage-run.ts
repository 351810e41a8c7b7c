import type { UsageAdjustedData, UsageRecordedData } from '@sluice/contracts'
import type { UsageMessage } from './usage-message.ts'

/** What one insert takes: messages whose numbers in the stream follow each other without a hole. */
export interface UsageRun {
  first: number
  last: number
  messages: readonly UsageMessage[]
}

/** Of a run, what this service has not received before. */
export interface FreshUsage {
  recorded: { event: UsageRecordedData; streamSeq: number }[]
  adjusted: { adjusted: UsageAdjustedData; streamSeq: number }[]
}

/**
 * Cuts messages into runs of at most `maxEvents` events (a single message may exceed it). A run is known by its first and
 * last number alone, so the same insert can be formed again after a crash.
 */
export function planRuns(messages: readonly UsageMessage[], maxEvents: number): UsageRun[] {
  const bySeq = new Map(messages.map(message => [message.streamSeq, message]))
  const runs: { first: number; last: number; messages: UsageMessage[]; events: number }[] = []
  for (const message of [...bySeq.values()].sort((a, b) => a.streamSeq - b.streamSeq)) {
    const events = message.kind === 'recorded' ? message.events.length : 1
    const run = runs.at(-1)
    if (run && run.last + 1 === message.streamSeq && run.events + events <= maxEvents) {
      run.messages.push(message)
      run.last = message.streamSeq
      run.events += events
    } else {
      runs.push({ first: message.streamSeq, last: message.streamSeq, messages: [message], events })
    }
  }
  return runs.map(({ first, last, messages: ofRun }) => ({ first, last, messages: ofRun }))
}
