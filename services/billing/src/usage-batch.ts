import { ContractError, type SeriesRange, UsageRecorded, type UsageRecordedData } from '@sluice/contracts'

/** A message as the consumer got it, reduced to what the domain needs. */
export interface UsageMessage {
  range: SeriesRange
  body: Uint8Array
}

/** One line of a batch: its number, its text, and its event or why there is none. */
export interface UsageLine {
  seq: number
  text: string
  event: UsageRecordedData | undefined
  problem: string | undefined
}

/**
 * Splits a message into its numbered lines. A line that cannot be read, or that names another place than the headers do,
 * carries its problem; the others are good.
 * @throws ContractError where the body does not have as many lines as the range has numbers: no line can be trusted then
 */
export function readUsageBatch(message: UsageMessage): UsageLine[] {
  const { range } = message
  const text = Buffer.from(message.body.buffer, message.body.byteOffset, message.body.byteLength).toString('utf8')
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  const expected = range.last - range.first + 1
  if (lines.length !== expected) throw new ContractError(`line count: ${lines.length} lines for ${expected} numbers`)
  return lines.map((line, index) => readLine(line, range, range.first + index))
}

function readLine(text: string, range: SeriesRange, seq: number): UsageLine {
  try {
    const event = UsageRecorded.decode(text)
    const isInPlace =
      event.seq === seq &&
      event.partition === range.partition &&
      event.epoch === range.epoch &&
      event.gateway_id === range.gatewayId
    if (!isInPlace)
      return { seq, text, event: undefined, problem: 'wrong place: the event names another series or number' }
    return { seq, text, event, problem: undefined }
  } catch (error) {
    if (!(error instanceof ContractError)) throw error
    return { seq, text, event: undefined, problem: `malformed event: ${error.message}` }
  }
}

/** The line of an event that the store refuses. */
export function refuseLine(line: UsageLine, reason: string): UsageLine {
  return { ...line, event: undefined, problem: `refused event: ${reason}` }
}
