import { UsageHoursPage, UsageHoursRequest, type usageHoursSubjects } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { answerRequests } from './answer-requests.ts'
import type { Bus } from './connect.ts'

type Subject = (typeof usageHoursSubjects)[keyof typeof usageHoursSubjects]
/** What a service has counted for a project in an hour of admission. */
export type UsageHourSum = UsageHoursPage['hours'][number]

/** Sums behind a place, by hour and project, at most `limit`. */
export type ReadUsageHours = (query: {
  fromMs: number
  toMs: number
  after: { hourMs: number; projectId: string } | undefined
  limit: number
}) => Promise<UsageHourSum[]>

/** A row is about 140 bytes, and a message takes 1 MB. */
const mostRowsPerPage = 4_000

/** Answers what this service has counted, page by page, to whoever may ask. */
export function answerUsageHours(
  bus: Bus,
  subject: Subject,
  read: ReadUsageHours,
  log: Logger,
  rowsPerPage = mostRowsPerPage,
): { close: () => Promise<void> } {
  return answerRequests(
    bus,
    subject,
    async body => {
      const { from_ms: fromMs, to_ms: toMs, after } = UsageHoursRequest.decode(body)
      const [hour, projectId] = after?.split('.') ?? []
      const place = hour === undefined || projectId === undefined ? undefined : { hourMs: Number(hour), projectId }
      const hours = await read({ fromMs, toMs, after: place, limit: rowsPerPage })
      const last = hours.length === rowsPerPage ? hours.at(-1) : undefined
      return { body: UsageHoursPage.encode({ hours, ...(last ? { next: `${last.hour_ms}.${last.project_id}` } : {}) }) }
    },
    { log },
  )
}

/** Asks a service for its sums. @throws where it does not answer: it is away, or its store is */
export async function readUsageHours(
  bus: Bus,
  subject: Subject,
  fromMs: number,
  toMs: number,
): Promise<UsageHourSum[]> {
  const hours: UsageHourSum[] = []
  for (let after: string | undefined; ; ) {
    const request = UsageHoursRequest.encode({
      from_ms: fromMs,
      to_ms: toMs,
      ...(after === undefined ? {} : { after }),
    })
    const answer = await bus.connection.request(subject, request, { timeout: 20_000 })
    const page = UsageHoursPage.decode(answer.data)
    hours.push(...page.hours)
    after = page.next
    if (after === undefined) return hours
  }
}
