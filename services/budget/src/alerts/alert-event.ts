/** What destinations may be told of: a threshold, a forecast, a request for more, and what became of one. */
export const alertEvents = ['threshold', 'forecast', 'request', 'decision'] as const
export type AlertEvent = (typeof alertEvents)[number]

/** Why people are told. */
export type AlertKind = AlertEvent | 'test'

/** An alert as it was written down. */
export interface Alert {
  alertId: string
  kind: AlertKind
  budgetId: string | undefined
  atMs: number
  document: Record<string, unknown>
}

const types = {
  threshold: 'budget.threshold-crossed.v1',
  forecast: 'budget.forecast-exceeded.v1',
  request: 'budget-request.made.v1',
  decision: 'budget-request.decided.v1',
  test: 'alert.test.v1',
} as const satisfies Record<AlertKind, string>

/** An alert as a CloudEvent in JSON: the body of a webhook. The same alert is the same event, however often it is sent. */
export function toCloudEvent({ alertId, kind, budgetId, atMs, document }: Alert): string {
  return JSON.stringify({
    specversion: '1.0',
    id: alertId,
    source: '/budget',
    type: types[kind],
    ...(budgetId === undefined ? {} : { subject: budgetId }),
    time: new Date(atMs).toISOString(),
    datacontenttype: 'application/json',
    data: document,
  })
}
