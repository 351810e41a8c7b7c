import { budgetModes, holdPolicies, lineOfText, Type } from '@sluice/contracts'
import { errorOf, responses } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { orderThresholds } from '../alerts/threshold.ts'
import type { BudgetRouteDeps } from '../app.ts'
import { BudgetAnswer, toAnswer } from '../budget-answer.ts'
import { errors } from '../errors.ts'
import { AmountInput, NanoUsdInput, OnUnknownInput, readLimit, readOnUnknown } from '../limit-input.ts'
import { ForecastAlert, requireNoRate, Thresholds } from './alert-input.ts'
import { actorOf, type BudgetPlace } from './budget-place.ts'

/** Unit, window, scope and time zone of a budget never change: that is a new budget. */
export const ChangeBudgetBody = Type.Object(
  {
    name: Type.Optional(Type.String({ minLength: 1, maxLength: 128, pattern: lineOfText })),
    limit: Type.Optional(AmountInput),
    limit_nano_usd: Type.Optional(NanoUsdInput),
    mode: Type.Optional(Type.Enum([...budgetModes])),
    hold: Type.Optional(Type.Enum([...holdPolicies])),
    on_unknown: Type.Optional(OnUnknownInput),
    thresholds: Type.Optional(Thresholds),
    forecast_alert: Type.Optional(ForecastAlert),
  },
  { additionalProperties: false },
)

const fixed = ['unit', 'window', 'scope', 'per', 'time_zone', 'starts_at']

/** @throws AppError 400 where what never changes is to be changed */
async function requireChangeable({ body }: { body: unknown }): Promise<void> {
  const member = fixed.find(name => typeof body === 'object' && body !== null && Object.hasOwn(body, name))
  if (member === undefined) return
  const message = `"${member}" of a budget never changes: make a new budget, and delete this one.`
  throw errorOf(errors.neverChanges, { message })
}

const changes = [
  ['PATCH', 'Change what is named of a budget'],
  ['PUT', 'Change a budget'],
] as const

export function changeBudgetRoute(app: FastifyInstance, deps: BudgetRouteDeps, place: BudgetPlace): void {
  for (const [method, summary] of changes)
    app.route<{ Params: { id: string }; Body: Static<typeof ChangeBudgetBody> }>({
      method,
      url: `${place.path}/:id`,
      config: { access: place.writes },
      schema: { summary: place.words(summary), body: ChangeBudgetBody, response: responses({ 200: BudgetAnswer }) },
      preValidation: requireChangeable,
      handler: async request => {
        const nowMs = deps.now()
        const parent = place.parentOf(request, deps)
        const { id } = request.params
        const { name, mode, hold, on_unknown: onUnknown } = request.body
        const { budget } = await deps.budgets.find(parent, id, nowMs)
        const limit = readLimit(budget.unit, request.body)
        const modeAfter = mode ?? budget.mode
        if (budget.unit === 'concurrent' && modeAfter !== 'hard') throw errorOf(errors.concurrentIsHard)
        if (modeAfter !== 'hard' && (hold !== undefined || onUnknown !== undefined)) throw errorOf(errors.holdIsHard)
        requireNoRate(budget, request.body)
        const { thresholds, forecast_alert: forecastAlert } = request.body
        const change = {
          ...(name === undefined ? {} : { name }),
          ...(mode === undefined ? {} : { mode }),
          ...(limit === undefined ? {} : { limit }),
          ...(hold === undefined ? {} : { hold }),
          ...(onUnknown === undefined ? {} : { on_unknown: readOnUnknown(budget.unit, onUnknown) }),
          ...(thresholds === undefined ? {} : { thresholds: orderThresholds(thresholds) }),
          ...(forecastAlert === undefined ? {} : { forecastAlert }),
        }
        if (Object.keys(change).length === 0) throw errorOf(errors.nothingToChange)
        await deps.budgets.change(parent, id, change, actorOf(request), nowMs)
        return toAnswer(await deps.budgets.find(parent, id, nowMs), nowMs)
      },
    })
}
