import type { ErrorDefinition } from '@sluice/runtime'

/** Every error of this service's routes, beside those of authentication. */
export const errors = {
  invalidTime: {
    code: 'invalid_time',
    statusCode: 400,
    message: 'Give times in ISO 8601, such as 2026-01-31T00:00:00Z; start must be before end.',
  },
  invalidAnnotations: {
    code: 'invalid_annotations',
    statusCode: 400,
    message: 'Give annotations as a JSON object of texts, such as {"team":"search"}, with at most 16 names.',
  },
  rangeTooWide: {
    code: 'range_too_wide',
    statusCode: 400,
    message: 'The report has too many rows. Choose a shorter span or a longer interval.',
  },
  notYourUsage: {
    code: 'forbidden',
    statusCode: 403,
    message:
      'You may read your own usage here, and that of a team you own if you name it (team=…). For more it takes usage:read: ask a project admin.',
  },
  callNotFound: {
    code: 'call_not_found',
    statusCode: 404,
    message: 'There is no such call, or you have no access to its project. A call appears within a second of its end.',
  },
  storeUnavailable: {
    code: 'usage_store_unavailable',
    statusCode: 503,
    message: 'Usage cannot be read right now. Nothing is lost: it is recorded and will appear. Try again in a moment.',
  },
} as const satisfies Record<string, ErrorDefinition>
