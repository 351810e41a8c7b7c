import { errorOf } from '@sluice/runtime'

/** Every error of this service: code, status, what the caller reads. */
export const errors = {
  invalidRequest: { code: 'invalid_request', statusCode: 400, message: 'The request is not valid.' },
  invalidToken: {
    code: 'invalid_token',
    statusCode: 400,
    message: 'The participant token is malformed, expired, or not signed with an active key of its project.',
  },
  invalidBaseUrl: { code: 'invalid_base_url', statusCode: 400, message: 'base_url is not a usable URL.' },
  privateBaseUrl: {
    code: 'private_base_url',
    statusCode: 400,
    message:
      'base_url names a private or local address. Use a public one, or let the operator set SLUICE_ALLOW_PRIVATE_UPSTREAMS=1.',
  },
  passwordLink: {
    code: 'invalid_link',
    statusCode: 400,
    message: 'This link has been used, has expired or was replaced. Ask an administrator of the account for a new one.',
  },
  wrongPassword: { code: 'wrong_credentials', statusCode: 401, message: 'E-mail or password is wrong.' },
  forbidden: { code: 'forbidden', statusCode: 403, message: 'You may not do that.' },
  grantsTooMuch: {
    code: 'grants_too_much',
    statusCode: 403,
    message: 'Nobody gives what they do not have: permissions, models and lifetime must be within your own.',
  },
  notFound: { code: 'not_found', statusCode: 404, message: 'There is no such resource, or you have no access to it.' },
  conflict: { code: 'already_exists', statusCode: 409, message: 'There is one with that name already.' },
  keyKnown: {
    code: 'already_exists',
    statusCode: 409,
    message: 'This installation knows a key of that SHA-256 already. Revoked ones count too: give out a new key.',
  },
  foreignKey: {
    code: 'foreign_key',
    statusCode: 409,
    message: 'This is the key of another system: have it rotated there, then take the new one here by its SHA-256.',
  },
  roomClosed: { code: 'room_closed', statusCode: 409, message: 'The room is closed. Create it again to open it.' },
  idempotencyKeyReused: {
    code: 'idempotency_key_reused',
    statusCode: 409,
    message: 'This Idempotency-Key came with another request before. Use a new one for each thing to make.',
  },
  teamInUse: { code: 'team_in_use', statusCode: 409, message: 'The team still pays for keys or service accounts.' },
  integrationInTheWay: {
    code: 'integration_in_use',
    statusCode: 409,
    message:
      'Another integration of this provider is in use for the same calls. Put one of them on standby, or give it another team.',
  },
  limitReached: { code: 'limit_reached', statusCode: 409, message: 'There are as many of these as are allowed.' },
  projectTooLarge: {
    code: 'project_too_large',
    statusCode: 409,
    message: 'What gateways have to know of this project is too much: shorten lists of models, or close teams.',
  },
  roomGranted: {
    code: 'already_exists',
    statusCode: 409,
    message: 'They have a grant for this room. Change it with PUT …/room-grants/{any id}.',
  },
  roomTooLarge: {
    code: 'room_too_large',
    statusCode: 409,
    message: 'What gateways have to know of this room is too much: shorten lists of models in its grants.',
  },
  lastAdmin: {
    code: 'last_admin',
    statusCode: 409,
    message: 'An account keeps at least one administrator who can sign in. Make somebody else one first.',
  },
  testUnavailable: {
    code: 'test_unavailable',
    statusCode: 503,
    message: 'No gateway could make the test right now. Try again in a moment.',
  },
  throttled: {
    code: 'too_many_attempts',
    statusCode: 429,
    message: 'Too many attempts to sign in. Wait a few minutes, then try again.',
  },
} as const

export const notFound = () => errorOf(errors.notFound)
