import type { CallRefusedData, UsageRecordedData } from '@sluice/contracts'
import type { BudgetLeft } from './budget-left.ts'

/** One call as one line: model and who answered, tokens, cost, what we added, what of the budget is left. */
export function writeReceipt(input: {
  event: UsageRecordedData
  inputTokens: number
  outputTokens: number
  left: BudgetLeft | undefined
}): string {
  const { event, inputTokens, outputTokens, left } = input
  const model = event.served_model ?? event.requested_model
  const parts = [
    formatTime(event.finished_at_ms),
    event.served_by === 'simulator' ? `${model} [simulator]` : `${model} [${event.served_by}]`,
    `${inputTokens} in, ${outputTokens} out`,
    event.priced ? formatUsd(BigInt(event.cost_nano_usd)) : 'no price',
    `+${formatMilliseconds(event.overhead_us)} ms`,
    left === undefined ? 'no budget' : writeLeft(left),
  ]
  if (event.status !== 'completed') parts.push(event.cut_by ? `cut: ${event.cut_by.reason}` : event.status)
  return parts.join('  ')
}

/** One refused call, or several equal ones, as one line. */
export function writeRefusal(refused: CallRefusedData): string {
  const parts = [
    formatTime(refused.refused_at_ms),
    refused.requested_model ?? refused.endpoint,
    `refused: ${refused.reason}${refused.budget ? ` (${refused.budget.name})` : ''}, ${refused.http_status}`,
  ]
  if (refused.count > 1) parts.push(`${refused.count} calls`)
  return parts.join('  ')
}

function writeLeft({ name, unit, left }: BudgetLeft): string {
  const amount = Math.abs(left)
  const text = unit === 'usd' ? formatUsd(BigInt(amount)) : `${amount} ${unit}`
  return left < 0 ? `${name} is over by ${text}` : `${text} left of ${name}`
}

function formatTime(ms: number): string {
  return new Date(ms).toTimeString().slice(0, 8)
}

/** Exact, with at least two and as many places as the amount has. */
export function formatUsd(nano: bigint): string {
  const absolute = nano < 0n ? -nano : nano
  const places = (absolute % 1_000_000_000n).toString().padStart(9, '0').replace(/0+$/, '').padEnd(2, '0')
  return `${nano < 0n ? '-' : ''}$${absolute / 1_000_000_000n}.${places}`
}

function formatMilliseconds(microseconds: number): string {
  return `${Math.floor(microseconds / 1000)}.${Math.floor((microseconds % 1000) / 100)}`
}
