import { Type } from '@sluice/contracts'
import { ContinuationToken, PageQuery, readPage, responses, toPage } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import type { ToldAlert } from '../alerts/alert-store.ts'
import type { BudgetRouteDeps } from '../app.ts'
import { actorOf, type BudgetPlace } from './budget-place.ts'

const Nullable = {
  Text: Type.Union([Type.String(), Type.Null()]),
  Integer: Type.Union([Type.Integer(), Type.Null()]),
}

const AlertAnswer = Type.Object({
  id: Type.String(),
  /** `threshold`, `forecast`, `request`, `decision` or `test`. */
  kind: Type.String(),
  at: Type.String({ description: 'RFC 3339' }),
  budget_id: Nullable.Text,
  /** What every destination is told, as `data` of the webhook's event. */
  alert: Type.Record(Type.String(), Type.Unknown()),
  deliveries: Type.Array(
    Type.Object({
      id: Type.String(),
      destination_id: Type.String(),
      destination_name: Type.String(),
      destination_kind: Type.String(),
      /** `waiting`, `delivered`, `given_up`, or `cancelled` with its destination. */
      state: Type.String(),
      attempts: Type.Integer(),
      next_attempt_at: Nullable.Text,
      last_status: Nullable.Integer,
      last_error: Nullable.Text,
      ended_at: Nullable.Text,
    }),
  ),
})
const List = Type.Object({ alerts: Type.Array(AlertAnswer), continuation_token: ContinuationToken })
const Query = Type.Object(
  { ...PageQuery, budget: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })) },
  { additionalProperties: false },
)

/** What people were told of budgets, and what has become of each message. */
export function alertRoutes(app: FastifyInstance, deps: BudgetRouteDeps, place: BudgetPlace): void {
  const path = `${place.path}/alerts`
  app.get<{ Querystring: Static<typeof Query> }>(
    path,
    {
      config: { access: place.reads },
      schema: {
        summary: place.words('List alerts of budgets, the newest first'),
        querystring: Query,
        response: responses({ 200: List }),
      },
    },
    async request => {
      const page = readPage('alerts', request.query)
      const found = await deps.alerts.list(place.parentOf(request, deps), {
        budgetId: request.query.budget,
        before: page.after,
        limit: page.limit + 1,
      })
      const { items, continuation_token } = toPage('alerts', page, found, ({ alertId }) => alertId)
      return { alerts: items.map(toAnswer), continuation_token }
    },
  )

  app.get<{ Params: { alert: string } }>(
    `${path}/:alert`,
    {
      config: { access: place.reads },
      schema: { summary: place.words('Get an alert of a budget'), response: responses({ 200: AlertAnswer }) },
    },
    async request => toAnswer(await deps.alerts.find(place.parentOf(request, deps), request.params.alert)),
  )

  app.post<{ Params: { alert: string; delivery: string } }>(
    `${path}/:alert/deliveries/:delivery/send-again`,
    {
      config: { access: place.writes },
      schema: {
        summary: place.words('Send an alert again to a destination that has it, or was given up'),
        response: responses({ 202: AlertAnswer }),
      },
    },
    async (request, reply) => {
      const { alert: alertId, delivery: deliveryId } = request.params
      const ids = { alertId, deliveryId }
      const told = await deps.alerts.sendAgain(place.parentOf(request, deps), ids, actorOf(request), deps.now())
      return reply.code(202).send(toAnswer(told))
    },
  )
}

function toAnswer({ alertId, kind, atMs, budgetId, document, deliveries }: ToldAlert): Static<typeof AlertAnswer> {
  return {
    id: alertId,
    kind,
    at: toIso(atMs),
    budget_id: budgetId ?? null,
    alert: document,
    deliveries: deliveries.map(delivery => ({
      id: delivery.deliveryId,
      destination_id: delivery.destinationId,
      destination_name: delivery.destinationName,
      destination_kind: delivery.destinationKind,
      state: delivery.state,
      attempts: delivery.attempts,
      next_attempt_at: delivery.state === 'waiting' ? toIso(delivery.nextAtMs) : null,
      last_status: delivery.lastStatus ?? null,
      last_error: delivery.lastError ?? null,
      ended_at: delivery.endedAtMs === undefined ? null : toIso(delivery.endedAtMs),
    })),
  }
}

function toIso(ms: number): string {
  return new Date(ms).toISOString()
}
