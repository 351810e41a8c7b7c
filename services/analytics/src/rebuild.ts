import type { GatewayEpochClosedData, SeriesRange, UsageAdjustedData, UsageLogBatch } from '@sluice/contracts'
import { rangeToHeaders, UsageRecorded } from '@sluice/contracts'
import { readUsageMessage, type UsageMessage } from './usage-message.ts'

/** A batch of the usage log as the message that it came in: read, and put aside line by line, as one from the stream. */
export function toUsageMessage({ batch, lines }: { batch: UsageLogBatch; lines: readonly string[] }): UsageMessage {
  const { gateway_id: gatewayId, epoch, partition, first, last } = batch
  const range: SeriesRange = { gatewayId, epoch, partition, first, last }
  const headers = new Map(rangeToHeaders(range))
  return readUsageMessage({
    seq: Number(batch.batch),
    subject: UsageRecorded.subject(partition),
    header: name => headers.get(name) ?? '',
    data: Buffer.from(lines.map(line => `${line}\n`).join('')),
  })
}

export function toAdjustedMessage(adjusted: UsageAdjustedData): UsageMessage {
  return { kind: 'adjusted', streamSeq: adjusted.seq, adjusted }
}

export function toClosedMessage(closed: GatewayEpochClosedData): UsageMessage {
  return { kind: 'closed', streamSeq: 0, closed }
}
