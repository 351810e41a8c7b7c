import type { UsageResult } from '@sluice/usage'
import type { Refusal } from '../refusal.ts'

/** What is written behind the provider's last whole event to end a stream that we cut. */
export interface StreamEnding {
  style: 'soft' | 'explicit'
  refusal: Refusal
  callId: string
  /** What has been used so far, estimated where the provider had not said it yet. */
  usage: UsageResult
  /** The client asked for the usage chunk (chat completions). */
  clientWantsUsage: boolean
}

/** One server-sent event; `name` only in the dialects that have event names. */
export function sseEvent(data: unknown, name?: string): string {
  const line = `data: ${JSON.stringify(data)}\n\n`
  return name === undefined ? line : `event: ${name}\n${line}`
}
