import { type AppError, type ErrorDefinition, errorOf } from '@sluice/runtime'

/** Every error of this service that a caller can do something about. */
export const errors = {
  budgetNotFound: {
    code: 'budget_not_found',
    statusCode: 404,
    message: 'There is no such budget in this project. List the budgets of the project to see their ids.',
  },
  idempotencyKeyReused: {
    code: 'idempotency_key_reused',
    statusCode: 409,
    message: 'This Idempotency-Key came with another request before. Use a new one for each thing to make.',
  },
  invalidLimit: {
    code: 'invalid_limit',
    statusCode: 400,
    message:
      'Give "limit" as text: decimal USD with at most nine decimal places ("0.01") for unit usd, a whole number for the others, more than nothing and at most 9007199.254740991 USD or 9007199254740991. Or, for unit usd, "limit_nano_usd" as a whole number; not both.',
  },
  invalidTimeZone: {
    code: 'invalid_time_zone',
    statusCode: 400,
    message: 'Give "time_zone" as an IANA name, such as "Europe/Berlin" or "UTC".',
  },
  concurrentIsHard: {
    code: 'concurrent_is_hard',
    statusCode: 400,
    message:
      'A budget of unit "concurrent" bounds calls at the same time: it has mode "hard" and window "total". Leave both out, or give these.',
  },
  holdIsHard: {
    code: 'hold_is_hard',
    statusCode: 400,
    message:
      '"hold" and "on_unknown" say what a budget of mode "hard" sets aside before a call. Leave them out, or use mode "hard".',
  },
  windowMissing: {
    code: 'window_missing',
    statusCode: 400,
    message: 'Give "window": minute, hour, day, week, month, quarter or total.',
  },
  invalidUntil: {
    code: 'invalid_until',
    statusCode: 400,
    message: 'Give "until" as a time to come, within a year, such as "2026-05-13T18:00:00Z".',
  },
  invalidAmount: {
    code: 'invalid_amount',
    statusCode: 400,
    message:
      'as text: decimal USD with at most nine decimal places ("0.05") for unit usd, a whole number for the others.',
  },
  tooManyRaises: {
    code: 'too_many_raises',
    statusCode: 409,
    message: 'As many raises of this budget stand as it may have. Wait until one is over, or change the limit.',
  },
  holdNotFound: {
    code: 'hold_not_found',
    statusCode: 404,
    message: 'Nothing is unresolved under this lease and attempt. List the leases of the budget to see what is.',
  },
  tooManyBudgets: {
    code: 'too_many_budgets',
    statusCode: 409,
    message: 'This project has as many budgets as it may have. Delete one, or use "per" for one copy a value.',
  },
  budgetOfTeam: {
    code: 'budget_of_team',
    statusCode: 409,
    message:
      'This budget is for the seats of a team: change "seat_budget" of the team (PUT /accounts/projects/{pid}/teams/{id}). Raises are made here.',
  },
  perTotal: {
    code: 'per_needs_window',
    statusCode: 400,
    message:
      'A budget for each model, app, session, agent or tag tells values apart in one window: give it a "window" that ends, not "total". Those of unit "concurrent" need none.',
  },
  sharedBudgetMissing: {
    code: 'shared_budget_missing',
    statusCode: 409,
    message:
      'has a copy for each of what callers choose, so a shared one has to bound them together: of the same unit, of mode "hard" where this one is hard ("soft" or "hard" where it is soft), without "per", and its scope names nothing but what this one names too, and no app, session, agent or tag. Make that one first, and keep it while this one stands.',
  },
  stopNotFound: {
    code: 'stop_not_found',
    statusCode: 404,
    message: 'There is no such stop in this project. List the stops of the project to see their ids.',
  },
  stoppedItself: {
    code: 'stopped_itself',
    statusCode: 403,
    message: 'This key is stopped by the stop that it asks to lift. Somebody else has to lift it.',
  },
  tooManyStops: {
    code: 'too_many_stops',
    statusCode: 409,
    message: 'As many stops stand in this project as it may have. Lift one, or stop a wider scope.',
  },
  invalidQuota: {
    code: 'invalid_quota',
    statusCode: 400,
    message: 'Give a quota in USD as a number or decimal text with at most nine decimal places, such as 25 or "0.5".',
  },
  quotaMissing: {
    code: 'quota_missing',
    statusCode: 404,
    message: 'Nobody has given them a monthly quota, so there is none to begin anew.',
  },
  requestNotFound: {
    code: 'request_not_found',
    statusCode: 404,
    message: 'There is no such request for more here, or it is not yours.',
  },
  projectMissing: {
    code: 'project_missing',
    statusCode: 400,
    message:
      'You are in more than one project, or administer all: say of which. POST /accounts/projects/{pid}/llm-proxy/requests with {"budget_id", "amount", "reason"}.',
  },
  mayNotCall: {
    code: 'forbidden',
    statusCode: 403,
    message: 'You may not call models in this project, so none of its budgets is yours. Ask a project admin.',
  },
  requestOpen: {
    code: 'request_open',
    statusCode: 409,
    message: 'You have asked for more of this budget already, and its owner has not answered yet.',
  },
  requestDecided: {
    code: 'request_decided',
    statusCode: 409,
    message: 'This request was decided before, in another way. Raise the budget itself where it is to have more.',
  },
  tooManyChanges: {
    code: 'too_many_changes',
    statusCode: 429,
    message: 'Too many changes of these budgets wait for their turn. Try again in a moment.',
  },
  tooManyRequests: {
    code: 'too_many_requests',
    statusCode: 429,
    message: 'You have asked for more often enough. Wait for an answer, or ask again later',
  },
  tooManyWaiting: {
    code: 'too_many_waiting',
    statusCode: 429,
    message:
      'As many of this project wait for an answer to a request as may at a time. Ask without "wait", or again in a few seconds.',
  },
  waitingFull: {
    code: 'waiting_full',
    statusCode: 503,
    message:
      'As many of all projects wait here for an answer to a request as may at a time. Ask without "wait", or again in a few seconds.',
  },
  destinationNotFound: {
    code: 'destination_not_found',
    statusCode: 404,
    message:
      'There is no such destination of alerts here, or it is switched off. List the destinations to see their ids.',
  },
  alertNotFound: {
    code: 'alert_not_found',
    statusCode: 404,
    message: 'There is no such alert here. Alerts are kept for 90 days.',
  },
  deliveryNotFound: {
    code: 'delivery_not_found',
    statusCode: 404,
    message: 'This alert has no such delivery. Get the alert to see its deliveries.',
  },
  deliveryWaits: {
    code: 'delivery_waits',
    statusCode: 409,
    message: 'This delivery has not ended: it is tried again by itself. Wait until it is delivered or given up.',
  },
  tooManyDestinations: {
    code: 'too_many_destinations',
    statusCode: 409,
    message: 'There are as many destinations of alerts here as there may be. Delete one.',
  },
  tooManyByHand: {
    code: 'too_many_by_hand',
    statusCode: 409,
    message:
      'Tests, and alerts that are sent again, have gone out often within the hour. Wait, and see among the alerts what became of them.',
  },
  invalidDestination: {
    code: 'invalid_destination',
    statusCode: 400,
    message: 'Give "url" for kind "webhook", and "addresses" for kind "email", and not the other.',
  },
  invalidUrl: {
    code: 'invalid_url',
    statusCode: 400,
    message: 'url is not a usable URL.',
  },
  noSecretOfEmail: {
    code: 'not_a_webhook',
    statusCode: 400,
    message: 'Only webhooks have secrets.',
  },
  webhooksNotOffered: {
    code: 'webhooks_not_offered',
    statusCode: 409,
    message:
      'This installation cannot sign webhooks: its operator has to set BUDGET_SECRET_KEY for the budget service.',
  },
  mailNotOffered: {
    code: 'mail_not_offered',
    statusCode: 409,
    message:
      'This installation sends no e-mail: its operator has to set SLUICE_SMTP_URL and SLUICE_MAIL_FROM for the budget service.',
  },
  thresholdsOfRate: {
    code: 'thresholds_of_rate_limit',
    statusCode: 400,
    message:
      'Budgets with window "minute" and those of unit "concurrent" have no thresholds and no forecast: they would tell of each minute anew.',
  },
  neverChanges: {
    code: 'invalid_request',
    statusCode: 400,
    message: 'This never changes: make a new budget.',
  },
  nothingToChange: {
    code: 'nothing_to_change',
    statusCode: 400,
    message:
      'Give at least one of "name", "limit", "limit_nano_usd", "mode", "hold", "on_unknown", "thresholds", "forecast_alert".',
  },
} as const satisfies Record<string, ErrorDefinition>

export const budgetNotFound = (): AppError => errorOf(errors.budgetNotFound)
export const budgetOfTeam = (): AppError => errorOf(errors.budgetOfTeam)
export const sharedBudgetMissing = (name: string): AppError =>
  errorOf(errors.sharedBudgetMissing, { message: `Budget "${name}" ${errors.sharedBudgetMissing.message}` })
export const invalidAmount = (name: string): AppError =>
  errorOf(errors.invalidAmount, { message: `Give "${name}" ${errors.invalidAmount.message}` })
export const tooManyRaises = (): AppError => errorOf(errors.tooManyRaises)
export const holdNotFound = (): AppError => errorOf(errors.holdNotFound)
export const requestNotFound = (): AppError => errorOf(errors.requestNotFound)
export const requestDecided = (): AppError => errorOf(errors.requestDecided)
export const requestOpen = (id?: string): AppError =>
  errorOf(
    errors.requestOpen,
    id === undefined ? {} : { message: `${errors.requestOpen.message} Ask what became of ${id}.` },
  )
export const tooManyChanges = (): AppError => errorOf(errors.tooManyChanges)
export const tooManyRequests = (most: number): AppError =>
  errorOf(errors.tooManyRequests, { message: `${errors.tooManyRequests.message} (${most} an hour).` })
export const stopNotFound = (): AppError => errorOf(errors.stopNotFound)
export const stoppedItself = (): AppError => errorOf(errors.stoppedItself)
export const tooManyStops = (most: number): AppError =>
  errorOf(errors.tooManyStops, { message: `${errors.tooManyStops.message} (${most})` })
export const tooManyBudgets = (most: number): AppError =>
  errorOf(errors.tooManyBudgets, { message: `${errors.tooManyBudgets.message} (${most})` })
export const destinationNotFound = (): AppError => errorOf(errors.destinationNotFound)
export const alertNotFound = (): AppError => errorOf(errors.alertNotFound)
export const deliveryNotFound = (): AppError => errorOf(errors.deliveryNotFound)
export const deliveryWaits = (): AppError => errorOf(errors.deliveryWaits)
export const tooManyDestinations = (most: number): AppError =>
  errorOf(errors.tooManyDestinations, { message: `${errors.tooManyDestinations.message} (${most})` })
export const tooManyByHand = (most: number): AppError =>
  errorOf(errors.tooManyByHand, { message: `${errors.tooManyByHand.message} (${most})` })
