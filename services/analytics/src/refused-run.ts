import { UsageAdjusted, UsageRecorded, type UsageRecordedData } from '@sluice/contracts'
import type { DeadLine, RecordedMessage, UsageMessage } from './usage-message.ts'
import type { UsageRun } from './usage-run.ts'

/** The two halves of a run, by messages or, of a single one, by numbers; undefined where it is a single number. */
export function splitRun(run: UsageRun): [UsageRun, UsageRun] | undefined {
  const [only, ...others] = run.messages
  if (only === undefined) return undefined
  if (others.length > 0) {
    const middle = run.messages.length >> 1
    return [runOf(run.messages.slice(0, middle)), runOf(run.messages.slice(middle))]
  }
  if (only.kind !== 'recorded' || only.range.last === only.range.first) return undefined
  const at = only.range.first + ((only.range.last - only.range.first + 1) >> 1)
  return [runOf([partOf(only, only.range.first, at - 1)]), runOf([partOf(only, at, only.range.last)])]
}

/** The run of a single number that a store refuses, as a dead letter; undefined where it is one already. */
export function buryRun(run: UsageRun, reason: string): UsageRun | undefined {
  const [message] = run.messages
  const buried = message && buryMessage(message, reason)
  return buried && runOf([buried])
}

function buryMessage(message: UsageMessage, reason: string): UsageMessage | undefined {
  const { streamSeq } = message
  switch (message.kind) {
    case 'recorded': {
      const [event] = message.events
      if (!event) {
        const [dead] = message.dead
        return dead && { kind: 'unreadable', streamSeq, dead: { line: dead.line, reason, content: dead.content } }
      }
      return { ...message, events: [], dead: [deadLineOf(message, event, reason)] }
    }
    case 'adjusted': {
      const { adjusted } = message
      const content = Buffer.from(UsageAdjusted.encode(adjusted))
      if (message.dead) return { kind: 'unreadable', streamSeq, dead: { line: 0, reason, content } }
      return { ...message, dead: { seq: adjusted.seq, line: 0, reason, content } }
    }
    case 'closed':
      return {
        kind: 'unreadable',
        streamSeq,
        dead: { line: 0, reason, content: Buffer.from(JSON.stringify(message.closed)) },
      }
    case 'unreadable':
      return undefined
  }
}

function deadLineOf(message: RecordedMessage, event: UsageRecordedData, reason: string): DeadLine {
  return {
    seq: event.seq,
    line: message.firstLine + event.seq - message.range.first,
    reason,
    content: Buffer.from(UsageRecorded.encode(event)),
  }
}

function partOf(message: RecordedMessage, first: number, last: number): RecordedMessage {
  const isWithin = (seq: number | undefined) => seq !== undefined && first <= seq && seq <= last
  return {
    ...message,
    range: { ...message.range, first, last },
    firstLine: message.firstLine + first - message.range.first,
    events: message.events.filter(event => isWithin(event.seq)),
    dead: message.dead.filter(line => isWithin(line.seq)),
  }
}

function runOf(messages: readonly UsageMessage[]): UsageRun {
  return { first: messages[0]?.streamSeq ?? 0, last: messages.at(-1)?.streamSeq ?? 0, messages }
}
