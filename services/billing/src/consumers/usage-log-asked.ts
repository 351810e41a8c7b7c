import { promisify } from 'node:util'
import { zstdCompress } from 'node:zlib'
import { type Answer, answerRequests, type Bus, type MsgHdrs, newHeaders } from '@sluice/bus'
import { ContractError, GatewayEpochClosed, UsageLogRequest, usageLogHeaders, usageLogSubject } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { ArchiveError } from '../archive/archive-error.ts'
import { linesOf } from '../usage-log.ts'
import type { UsageLogStore } from '../usage-log-store.ts'

const compress = promisify(zstdCompress)

/** A message takes 1 MB: compressed, this is far below it. */
const maxBytes = 2 * 1024 * 1024
const maxBatches = 64
const maxLines = 500

/** Answers whoever may read the usage log, a page at a time: days in PostgreSQL and days in the archive alike. */
export function answerUsageLog(bus: Bus, deps: { store: UsageLogStore; log: Logger }): { close: () => Promise<void> } {
  return answerRequests(bus, usageLogSubject, body => answer(deps, body), { log: deps.log })
}

async function answer(deps: { store: UsageLogStore; log: Logger }, body: Uint8Array): Promise<Answer> {
  try {
    const { lines, next } = await readPage(deps.store, UsageLogRequest.decode(body))
    const headers = newHeaders()
    headers.set(usageLogHeaders.next, next ?? '')
    headers.set(usageLogHeaders.head, await deps.store.findHead())
    return { body: await compress(Buffer.from(lines.map(line => `${line}\n`).join(''))), headers }
  } catch (error) {
    if (!(error instanceof ContractError || error instanceof ArchiveError)) throw error
    deps.log.error({ err: error }, 'page of the usage log not answered')
    return { body: '', headers: errorHeaders(error.message) }
  }
}

function errorHeaders(message: string): MsgHdrs {
  const headers = newHeaders()
  headers.set(usageLogHeaders.error, message)
  return headers
}

async function readPage(
  store: UsageLogStore,
  request: UsageLogRequest,
): Promise<{ lines: string[]; next: string | undefined }> {
  switch (request.kind) {
    case 'usage': {
      const { range } = request
      const page = await store.readPage(
        {
          after: numberOf(request.after),
          ...(request.first_day === undefined ? {} : { firstDay: dayOf(request.first_day) }),
          ...(request.last_day === undefined ? {} : { lastDay: dayOf(request.last_day) }),
          ...(range === undefined ? {} : { range: { ...range, gatewayId: range.gateway_id } }),
        },
        { maxBatches, maxBytes },
      )
      return { lines: page.batches.flatMap(linesOf), next: page.next }
    }
    case 'adjustments':
      return store.readAdjustments(numberOf(request.after), maxLines)
    case 'closed-epochs': {
      const { epochs, next } = await store.readClosedEpochs(request.after, maxLines)
      const lines = epochs.map(({ gatewayId, epoch, last }) =>
        GatewayEpochClosed.encode({ gateway_id: gatewayId, epoch, last, closed_by: gatewayId, closed_at_ms: 0 }),
      )
      return { lines, next }
    }
  }
}

function numberOf(after: string): bigint {
  if (after === '') return 0n
  if (/^\d{1,18}$/.test(after)) return BigInt(after)
  throw new ContractError('usage log request: /after is not the end of a page')
}

function dayOf(day: string): string {
  if (Number.isNaN(Date.parse(`${day}T00:00:00Z`))) throw new ContractError('usage log request: no such day')
  return day
}
