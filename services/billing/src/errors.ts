import type { ErrorDefinition } from '@sluice/runtime'

export const billingErrors = {
  priceBookMissing: {
    code: 'price_book_missing',
    statusCode: 503,
    message: 'No price book has been published yet. Try again in a moment.',
  },
  invalidCursor: {
    code: 'invalid_cursor',
    statusCode: 400,
    message: 'Send "before" as the id of a transaction from an earlier page.',
  },
} as const satisfies Record<string, ErrorDefinition>
