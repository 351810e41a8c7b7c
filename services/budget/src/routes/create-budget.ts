import {
  type BudgetScope,
  budgetModes,
  budgetUnits,
  budgetWindows,
  holdPolicies,
  isPerChosen,
  lineOfText,
  mostToldApart,
  otherCopy,
  perDimensions,
  perTagPattern,
  Type,
} from '@sluice/contracts'
import { isTimeZone } from '@sluice/leases'
import { errorOf, responses } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { defaultThresholds, orderThresholds } from '../alerts/threshold.ts'
import type { BudgetRouteDeps } from '../app.ts'
import { BudgetAnswer, toAnswer } from '../budget-answer.ts'
import { errors } from '../errors.ts'
import { AmountInput, NanoUsdInput, OnUnknownInput, readLimit, readOnUnknown } from '../limit-input.ts'
import { ForecastAlert, requireNoRate, Thresholds } from './alert-input.ts'
import { actorOf, type BudgetPlace, makingOf } from './budget-place.ts'
import { scopeMembers } from './scope-members.ts'

/** What a `Sluice-Tag-*` header can say. */
const tagPattern = "^[a-z0-9!#$%&'*+.^_`|~-]{1,64}=[^\\u0000-\\u001f\\u007f]{0,256}$"

const Per = Type.Union(
  [Type.Enum([...perDimensions]), Type.Unsafe<`tag:${string}`>({ type: 'string', pattern: perTagPattern })],
  {
    description: `A copy for each value. Of model, app, session, agent and tag:NAME, which callers choose, ${mostToldApart} values in a window are told apart; the others share the copy "${otherCopy}". Those stand beneath a shared budget of the same unit that bounds them all`,
  },
)

export const CreateBudgetBody = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 128, pattern: lineOfText }),
    /** Beside the project of the path, or the account; all that is named must match. */
    scope: Type.Optional(
      Type.Object(
        {
          ...scopeMembers,
          /** `name=value`, of a tag that calls claim. */
          tag: Type.Optional(Type.String({ maxLength: 321, pattern: tagPattern })),
        },
        { additionalProperties: false },
      ),
    ),
    per: Type.Optional(Per),
    unit: Type.Enum([...budgetUnits]),
    limit: Type.Optional(AmountInput),
    limit_nano_usd: Type.Optional(NanoUsdInput),
    /** Of unit `concurrent` it is `total`. */
    window: Type.Optional(Type.Enum([...budgetWindows])),
    time_zone: Type.Optional(Type.String({ maxLength: 64 })),
    mode: Type.Optional(Type.Enum([...budgetModes])),
    hold: Type.Optional(Type.Enum([...holdPolicies])),
    on_unknown: Type.Optional(OnUnknownInput),
    starts_at: Type.Optional(Type.Enum(['window', 'now'])),
    thresholds: Type.Optional(Thresholds),
    forecast_alert: Type.Optional(ForecastAlert),
  },
  { additionalProperties: false },
)

export function createBudgetRoute(app: FastifyInstance, deps: BudgetRouteDeps, place: BudgetPlace): void {
  app.post<{ Body: Static<typeof CreateBudgetBody> }>(
    place.path,
    {
      config: { access: place.writes, idempotent: true },
      schema: {
        summary: place.words('Create a budget'),
        example: {
          name: 'Platform in a month',
          scope: { team: 'team_01' },
          unit: 'usd',
          limit: '500',
          window: 'month',
          time_zone: 'Europe/Berlin',
          mode: 'hard',
        },
        body: CreateBudgetBody,
        response: responses({ 201: BudgetAnswer }),
      },
    },
    async (request, reply) => {
      const nowMs = deps.now()
      const parent = place.parentOf(request, deps)
      const { body } = request
      const isConcurrent = body.unit === 'concurrent'
      const mode = body.mode ?? (isConcurrent ? 'hard' : 'soft')
      const window = body.window ?? (isConcurrent ? 'total' : undefined)
      if (isConcurrent && (mode !== 'hard' || window !== 'total')) throw errorOf(errors.concurrentIsHard)
      if (window === undefined) throw errorOf(errors.windowMissing)
      if (isPerChosen(body) && window === 'total' && !isConcurrent) throw errorOf(errors.perTotal)
      if (mode !== 'hard' && (body.hold !== undefined || body.on_unknown !== undefined))
        throw errorOf(errors.holdIsHard)
      const timeZone = body.time_zone ?? 'UTC'
      if (!isTimeZone(timeZone)) throw errorOf(errors.invalidTimeZone)
      requireNoRate({ unit: body.unit, window }, body)
      const limit = readLimit(body.unit, body)
      if (limit === undefined) throw errorOf(errors.invalidLimit)
      const { accountId, projectId } = parent
      const scope: BudgetScope = {
        ...body.scope,
        ...(projectId === undefined ? { account: accountId } : { project: projectId }),
      }
      const budget = await deps.budgets.create(
        {
          budget_id: deps.newBudgetId(),
          version: 1,
          name: body.name,
          account_id: accountId,
          scope,
          ...(body.per === undefined ? {} : { per: body.per }),
          unit: body.unit,
          limit,
          window,
          time_zone: timeZone,
          mode,
          ...(body.hold === undefined ? {} : { hold: body.hold }),
          on_unknown: readOnUnknown(body.unit, body.on_unknown ?? 'deny'),
          created_at_ms: nowMs,
          projectId,
          thresholds: orderThresholds(
            body.thresholds ??
              defaultThresholds({
                unit: body.unit,
                window,
                mode,
                ...(body.per === undefined ? {} : { per: body.per }),
              }),
          ),
          forecastAlert: body.forecast_alert ?? false,
        },
        body.starts_at ?? 'window',
        actorOf(request),
        makingOf(request),
      )
      const state = await deps.budgets.find(parent, budget.budget_id, nowMs)
      return reply.code(201).send(toAnswer(state, nowMs))
    },
  )
}
