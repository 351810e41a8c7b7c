import { lineOfText, Type } from '@sluice/contracts'
import { ContinuationToken, errorOf, PageQuery, readPage, responses, toPage } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import type { BudgetRouteDeps } from '../app.ts'
import { errors } from '../errors.ts'
import { AmountInput, readAmount, requireRaisable } from '../limit-input.ts'
import type { MoreRequest } from '../more-request.ts'
import { actorOf, type BudgetPlace } from './budget-place.ts'
import { RequestAnswer, toAnswer } from './more-request-answer.ts'
import { longestRaiseMs } from './raise-budget.ts'

const Word = Type.String({ minLength: 1, maxLength: 300, pattern: lineOfText })
const Approval = Type.Object(
  {
    /** Absent: as much as was asked for. */
    amount: Type.Optional(AmountInput),
    until: Type.String({ maxLength: 40 }),
    word: Type.Optional(Word),
  },
  { additionalProperties: false },
)
const Refusal = Type.Object({ word: Type.Optional(Word) }, { additionalProperties: false })
const Query = Type.Object(
  { ...PageQuery, decided: Type.Optional(Type.Union([Type.Literal('true'), Type.Literal('false')])) },
  { additionalProperties: false },
)
const List = Type.Object({ requests: Type.Array(RequestAnswer), continuation_token: ContinuationToken })

/** Who may change budgets answers those who ask for more of them. */
export function decideRequestRoutes(app: FastifyInstance, deps: BudgetRouteDeps, place: BudgetPlace): void {
  const path = `${place.path}/requests`

  app.get<{ Querystring: Static<typeof Query> }>(
    path,
    {
      config: { access: place.writes },
      schema: {
        summary: place.words('List requests for more that are open; with decided=true those that were decided, too'),
        querystring: Query,
        response: responses({ 200: List }),
      },
    },
    async request => {
      const parent = place.parentOf(request, deps)
      const list = `requests of ${parent.projectId ?? parent.accountId}`
      const page = readPage(list, request.query)
      const isOpen = request.query.decided !== 'true'
      const found = await deps.moreRequests.list(parent, { after: page.after, limit: page.limit + 1, isOpen })
      const { items, continuation_token } = toPage(list, page, found, ({ requestId }) => requestId)
      return { continuation_token, requests: items.map(each => toAnswer(each, deps.publicOrigin)) }
    },
  )

  app.post<{ Params: { request: string }; Body: Static<typeof Approval> }>(
    `${path}/:request/approve`,
    {
      config: { access: place.writes },
      schema: {
        summary: place.words('Approve a request for more: raise the budget until a time'),
        body: Approval,
        response: responses({ 200: RequestAnswer }),
      },
    },
    async request => {
      const nowMs = deps.now()
      const { amount, until, word } = request.body
      const untilMs = Date.parse(until)
      if (!(untilMs > nowMs && untilMs <= nowMs + longestRaiseMs)) throw errorOf(errors.invalidUntil)
      const decide = (asked: MoreRequest) => {
        const read = amount === undefined ? Number(asked.amount) : readAmount(asked.unit, 'amount', amount)
        return {
          raise: {
            raiseId: deps.newRaiseId(),
            budgetId: asked.budgetId,
            amount: read,
            untilMs,
            reason: asked.reason,
            by: actorOf(request),
            createdAtMs: nowMs,
          },
          word,
          check: ({ limit }: { limit: number }) => requireRaisable(asked.unit, limit, read),
        }
      }
      const approved = await deps.moreRequests.approve(place.parentOf(request, deps), request.params.request, decide)
      return toAnswer(approved, deps.publicOrigin)
    },
  )

  app.post<{ Params: { request: string }; Body: Static<typeof Refusal> }>(
    `${path}/:request/decline`,
    {
      config: { access: place.writes },
      schema: {
        summary: place.words('Decline a request for more'),
        body: Refusal,
        response: responses({ 200: RequestAnswer }),
      },
    },
    async request => {
      const decision = { by: actorOf(request), atMs: deps.now(), word: request.body.word }
      const { request: requestId } = request.params
      const declined = await deps.moreRequests.decline(place.parentOf(request, deps), requestId, decision)
      return toAnswer(declined, deps.publicOrigin)
    },
  )
}
