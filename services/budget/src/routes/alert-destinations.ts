import { lineOfText, Type } from '@sluice/contracts'
import {
  ContinuationToken,
  errorOf,
  PageQuery,
  PublicUrlError,
  readPage,
  readPublicUrl,
  responses,
  type SecretBox,
  toPage,
} from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { alertEvents } from '../alerts/alert-event.ts'
import {
  type AlertDestination,
  type AlertTarget,
  openSecret,
  rotateSecrets,
  sealSecret,
  secretsAt,
} from '../alerts/destination.ts'
import { newWebhookSecret } from '../alerts/sign-webhook.ts'
import type { BudgetRouteDeps } from '../app.ts'
import { errors } from '../errors.ts'
import { actorOf, type BudgetPlace, makingOf } from './budget-place.ts'

const Name = Type.String({ minLength: 1, maxLength: 128, pattern: lineOfText })
const Url = Type.String({ maxLength: 2_000 })
/** Of an address, what can stand in a header and means one mailbox. */
const address = "^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@(?:[A-Za-z0-9-]{1,63}\\.){1,8}[A-Za-z0-9-]{2,63}$"
const Addresses = Type.Array(Type.String({ maxLength: 254, pattern: address }), { minItems: 1, maxItems: 20 })

const Events = Type.Array(Type.Enum([...alertEvents]), {
  minItems: 1,
  uniqueItems: true,
  description: 'What it is told of: thresholds, forecasts, requests for more, and decisions on them; default all of it',
})

const CreateBody = Type.Object(
  {
    kind: Type.Enum(['webhook', 'email']),
    name: Name,
    /** Of a webhook. */
    url: Type.Optional(Url),
    /** Of e-mail. */
    addresses: Type.Optional(Addresses),
    /** Told of this budget alone. */
    budget_id: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    events: Type.Optional(Events),
  },
  { additionalProperties: false },
)
const ChangeBody = Type.Object(
  {
    name: Type.Optional(Name),
    url: Type.Optional(Url),
    addresses: Type.Optional(Addresses),
    events: Type.Optional(Events),
    enabled: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
)
const RotateBody = Type.Object(
  {
    overlap_seconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 604_800,
        description: 'For so long the old secret signs, too; default a day',
      }),
    ),
  },
  { additionalProperties: false },
)

const members = {
  id: Type.String(),
  project_id: Type.Union([Type.String(), Type.Null()]),
  budget_id: Type.Union([Type.String(), Type.Null()]),
  kind: Type.String(),
  name: Type.String(),
  url: Type.Union([Type.String(), Type.Null()]),
  addresses: Type.Array(Type.String()),
  events: Type.Array(Type.String()),
  enabled: Type.Boolean(),
  created_at: Type.String({ description: 'RFC 3339' }),
  /** Those that sign, the newest first. */
  secrets: Type.Array(Type.Object({ created_at: Type.String(), expires_at: Type.Union([Type.String(), Type.Null()]) })),
}
const DestinationAnswer = Type.Object(members)
const WithSecret = Type.Object({
  ...members,
  secret: Type.Union([Type.String(), Type.Null()], {
    description: 'Of a webhook: messages are signed with it (Standard Webhooks). It is not shown again',
  }),
})
const List = Type.Object({ destinations: Type.Array(DestinationAnswer), continuation_token: ContinuationToken })
const Tested = Type.Object({ alert_id: Type.String() })
const dayMs = 86_400_000

/** Where alerts of budgets go: webhooks and mailboxes. Addresses may be secrets themselves: who may change budgets sees them. */
export function alertDestinationRoutes(app: FastifyInstance, deps: BudgetRouteDeps, place: BudgetPlace): void {
  const path = `${place.path}/alert-destinations`
  const access = place.writes

  app.post<{ Body: Static<typeof CreateBody> }>(
    path,
    {
      config: { access, idempotent: true },
      schema: {
        summary: place.words('Create a destination of alerts'),
        example: { kind: 'webhook', name: 'Pager', url: 'https://hooks.example.com/sluice' },
        body: CreateBody,
        response: responses({ 201: WithSecret }),
      },
    },
    async (request, reply) => {
      const { body } = request
      const nowMs = deps.now()
      const named = { destinationId: deps.newDestinationId(), parent: place.parentOf(request, deps) }
      if ((body.kind === 'webhook') !== (body.url !== undefined) || (body.kind === 'email') !== !!body.addresses)
        throw errorOf(errors.invalidDestination)
      const draft: AlertDestination = {
        ...named,
        budgetId: body.budget_id,
        name: body.name,
        target:
          body.url === undefined
            ? mailbox(deps, body.addresses ?? [])
            : {
                kind: 'webhook',
                url: checkUrl(deps, body.url),
                secrets: [sealSecret(boxOf(deps), named, newWebhookSecret(), nowMs)],
              },
        events: body.events ?? alertEvents,
        enabled: true,
        createdAtMs: nowMs,
      }
      const made = await deps.alerts.createDestination(draft, actorOf(request), makingOf(request))
      // Made by the same request before: its answer may have been lost, and with it the secret.
      return reply.code(201).send(withSecret(deps, made, nowMs))
    },
  )

  app.get<{ Querystring: Static<typeof PageQueryOnly> }>(
    path,
    {
      config: { access },
      schema: {
        summary: place.words('List destinations of alerts'),
        querystring: PageQueryOnly,
        response: responses({ 200: List }),
      },
    },
    async request => {
      const page = readPage('alert-destinations', request.query)
      const found = await deps.alerts.listDestinations(place.parentOf(request, deps), {
        after: page.after,
        limit: page.limit + 1,
      })
      const { items, continuation_token } = toPage('alert-destinations', page, found, one => one.destinationId)
      return { destinations: items.map(one => toAnswer(one, deps.now())), continuation_token }
    },
  )

  app.get<{ Params: { id: string } }>(
    `${path}/:id`,
    {
      config: { access },
      schema: { summary: place.words('Get a destination of alerts'), response: responses({ 200: DestinationAnswer }) },
    },
    async request =>
      toAnswer(await deps.alerts.findDestination(place.parentOf(request, deps), request.params.id), deps.now()),
  )

  app.patch<{ Params: { id: string }; Body: Static<typeof ChangeBody> }>(
    `${path}/:id`,
    {
      config: { access },
      schema: {
        summary: place.words('Change a destination of alerts; switched off, it is told nothing'),
        body: ChangeBody,
        response: responses({ 200: DestinationAnswer }),
      },
    },
    async request => {
      const nowMs = deps.now()
      const { name, url, addresses, events, enabled } = request.body
      const changed = await deps.alerts.changeDestination(
        { parent: place.parentOf(request, deps), destinationId: request.params.id },
        before => ({
          ...before,
          ...(name === undefined ? {} : { name }),
          ...(events === undefined ? {} : { events }),
          ...(enabled === undefined ? {} : { enabled }),
          target: changeTarget(deps, before.target, url, addresses),
        }),
        { actor: actorOf(request), action: 'destination-changed', nowMs },
      )
      return toAnswer(changed, nowMs)
    },
  )

  app.delete<{ Params: { id: string } }>(
    `${path}/:id`,
    {
      config: { access },
      schema: { summary: place.words('Delete a destination of alerts'), response: responses({ 204: Type.Null() }) },
    },
    async (request, reply) => {
      const named = { parent: place.parentOf(request, deps), destinationId: request.params.id }
      await deps.alerts.deleteDestination(named, actorOf(request), deps.now())
      return reply.code(204).send()
    },
  )

  app.post<{ Params: { id: string }; Body: Static<typeof RotateBody> }>(
    `${path}/:id/rotate-secret`,
    {
      config: { access },
      schema: {
        summary: place.words('Give a webhook a new secret; the old one signs beside it for a while'),
        body: RotateBody,
        response: responses({ 200: WithSecret }),
      },
    },
    async request => {
      const nowMs = deps.now()
      const { overlap_seconds: overlapS } = request.body
      const endsAtMs = nowMs + (overlapS === undefined ? dayMs : overlapS * 1_000)
      const named = { parent: place.parentOf(request, deps), destinationId: request.params.id }
      const rotated = await deps.alerts.changeDestination(
        named,
        before => {
          if (before.target.kind !== 'webhook') throw errorOf(errors.noSecretOfEmail)
          const next = sealSecret(boxOf(deps), before, newWebhookSecret(), nowMs)
          return {
            ...before,
            target: { ...before.target, secrets: rotateSecrets(before.target.secrets, next, { nowMs, endsAtMs }) },
          }
        },
        { actor: actorOf(request), action: 'secret-rotated', nowMs },
      )
      return withSecret(deps, rotated, nowMs)
    },
  )

  app.post<{ Params: { id: string } }>(
    `${path}/:id/test`,
    {
      config: { access },
      schema: {
        summary: place.words('Send a test to a destination of alerts; the alert says what became of it'),
        response: responses({ 202: Tested }),
      },
    },
    async (request, reply) => {
      const named = { parent: place.parentOf(request, deps), destinationId: request.params.id }
      const alertId = await deps.alerts.testDestination(named, actorOf(request), deps.now())
      return reply.code(202).send({ alert_id: alertId })
    },
  )
}

const PageQueryOnly = Type.Object(PageQuery, { additionalProperties: false })

/** @throws AppError 409 where there is no key to seal secrets with */
function boxOf({ secretBox }: BudgetRouteDeps): SecretBox {
  if (!secretBox) throw errorOf(errors.webhooksNotOffered)
  return secretBox
}

/** @throws AppError 409 where no mail is sent */
function mailbox({ sendsMail }: BudgetRouteDeps, addresses: readonly string[]): AlertTarget {
  if (!sendsMail) throw errorOf(errors.mailNotOffered)
  return { kind: 'email', addresses }
}

/** @throws AppError 400 */
function checkUrl({ allowPrivateUpstreams: allowPrivate }: BudgetRouteDeps, url: string): string {
  try {
    return readPublicUrl(url, {
      field: 'url',
      secretField: 'nothing but what we sign',
      allowPrivate,
      mayHaveQuery: true,
    }).href
  } catch (error) {
    if (!(error instanceof PublicUrlError)) throw error
    throw errorOf(errors.invalidUrl, { message: error.message })
  }
}

/** @throws AppError 400 for what is of the other kind */
function changeTarget(
  deps: BudgetRouteDeps,
  target: AlertTarget,
  url: string | undefined,
  addresses: readonly string[] | undefined,
): AlertTarget {
  if (target.kind === 'webhook') {
    if (addresses) throw errorOf(errors.invalidDestination)
    return url === undefined ? target : { ...target, url: checkUrl(deps, url) }
  }
  if (url !== undefined) throw errorOf(errors.invalidDestination)
  return addresses ? { kind: 'email', addresses } : target
}

function toAnswer(destination: AlertDestination, nowMs: number): Static<typeof DestinationAnswer> {
  const { destinationId, parent, budgetId, name, target, events, enabled, createdAtMs } = destination
  const secrets = target.kind === 'webhook' ? secretsAt(target.secrets, nowMs) : []
  return {
    id: destinationId,
    project_id: parent.projectId ?? null,
    budget_id: budgetId ?? null,
    kind: target.kind,
    name,
    url: target.kind === 'webhook' ? target.url : null,
    addresses: target.kind === 'email' ? [...target.addresses] : [],
    events: [...events],
    enabled,
    created_at: toIso(createdAtMs),
    secrets: secrets.map(({ created_at_ms: createdMs, expires_at_ms: expiresMs }) => ({
      created_at: toIso(createdMs),
      expires_at: expiresMs === null ? null : toIso(expiresMs),
    })),
  }
}

function withSecret(deps: BudgetRouteDeps, destination: AlertDestination, nowMs: number): Static<typeof WithSecret> {
  const { target } = destination
  const newest = target.kind === 'webhook' ? target.secrets[0] : undefined
  return {
    ...toAnswer(destination, nowMs),
    secret: newest === undefined ? null : openSecret(boxOf(deps), destination, newest),
  }
}

function toIso(ms: number): string {
  return new Date(ms).toISOString()
}
