import type { ErrorDefinition } from '@sluice/runtime'

export const billingErrors = {
  priceBookMissing: {
    code: 'price_book_missing',
    statusCode: 503,
    message: 'No price book has been published yet. Try again in a moment.',
  },
  priceBookInvalid: {
    code: 'price_book_invalid',
    statusCode: 400,
    message: 'The prices could not be read.',
  },
  alreadyInForce: {
    code: 'already_in_force',
    statusCode: 409,
    message: 'These prices are in force already, or about to be.',
  },
  notPreviewed: {
    code: 'not_previewed',
    statusCode: 409,
    message: 'Look at the changes first, then publish the book that they name.',
  },
  noOwnPrices: {
    code: 'no_own_prices',
    statusCode: 404,
    message: 'This project has no prices of its own.',
  },
  notAccountAdmin: {
    code: 'forbidden',
    statusCode: 403,
    message: 'Only an administrator of the account may change what a project pays.',
  },
  invalidCursor: {
    code: 'invalid_cursor',
    statusCode: 400,
    message: 'Send "continuation_token" or "before" to ask for the next page, not both.',
  },
  eventNotFound: {
    code: 'event_not_found',
    statusCode: 404,
    message:
      'The log holds no such event of this project. Where its id is not a UUIDv7, send "posted_from_ms": when it was posted, at the latest.',
  },
  eventNotPosted: {
    code: 'event_not_posted',
    statusCode: 409,
    message:
      'This event counts nowhere: it is a dead letter, or another event has its settlement key. There is nothing to correct.',
  },
  unknownPriceBook: {
    code: 'unknown_price_book',
    statusCode: 409,
    message: 'Billing does not have the price book to rate this event by. Send "price_book_id" of one that it has.',
  },
  noRate: {
    code: 'no_rate',
    statusCode: 409,
    message: 'The price book has no rate for one of the quantities. Send "price_book_id" of a book that has.',
  },
  nothingToAdjust: {
    code: 'nothing_to_adjust',
    statusCode: 409,
    message: 'The event already has these quantities, price book and cost. Nothing was posted.',
  },
  notOperator: {
    code: 'forbidden',
    statusCode: 403,
    message: 'Only an operator of the installation posts credits, and says which projects are prepaid.',
  },
  invalidCredit: {
    code: 'invalid_credit',
    statusCode: 400,
    message: 'Give "amount" as decimal USD that is not zero, such as "25.00", and "reason" as a line of text.',
  },
  idempotencyKeyReused: {
    code: 'idempotency_key_reused',
    statusCode: 409,
    message: 'This Idempotency-Key came with another request before. Use a new one for each credit.',
  },
  nothingSold: {
    code: 'not_offered',
    statusCode: 501,
    message:
      'This installation takes no payments: what a project owes is settled with whoever runs it. Limit what it spends with budgets.',
  },
  noArchive: {
    code: 'no_archive',
    statusCode: 409,
    message: 'No archive is configured. Set SLUICE_ARCHIVE to a folder or an S3-compatible store, then start again.',
  },
  archiveBusy: {
    code: 'archive_busy',
    statusCode: 409,
    message: 'Another process is archiving. Try again when it has finished.',
  },
  archiveDamaged: {
    code: 'archive_damaged',
    statusCode: 409,
    message: 'The archive is not as it was written.',
  },
  invalidSpan: {
    code: 'invalid_span',
    statusCode: 400,
    message:
      'Give start and end as whole hours in ISO 8601, such as 2026-01-31T00:00:00Z; start before end, at most 31 days apart.',
  },
} as const satisfies Record<string, ErrorDefinition>
