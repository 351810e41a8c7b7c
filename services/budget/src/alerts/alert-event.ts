/** Why people are told. */
export type AlertKind = 'threshold' | 'forecast' | 'test'

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
