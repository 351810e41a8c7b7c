import { lineOfText, Type } from '@sluice/contracts'
import {
  ContinuationToken,
  errorOf,
  hashRequest,
  PageQuery,
  principalOf,
  type RestCredentialViews,
  readIdempotencyKey,
  readPage,
  responses,
  toPage,
} from '@sluice/runtime'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import type { Author } from '../audit-trail-store.ts'
import type { Credit, CreditDraft } from '../credit-store.ts'
import { billingErrors } from '../errors.ts'
import { UsdNumber, usdNumber } from '../usd-text.ts'

interface Deps {
  credentials: RestCredentialViews
  listCredits: (projectId: string, page: { before: string | undefined; limit: number }) => Promise<Credit[]>
  /** Of all projects: who may is asked here. */
  postCredit: (draft: CreditDraft) => Promise<Credit>
}

const path = '/accounts/projects/:pid/credits'

/** What an operator posts. Whatever else a client would pay by is not read: nothing is sold here. */
const Posted = Type.Object({
  amount: Type.String({
    pattern: '^-?[0-9]{1,9}([.][0-9]{1,9})?$',
    description: 'Decimal USD; below zero takes a credit back',
  }),
  reason: Type.String({ minLength: 1, maxLength: 300, pattern: lineOfText }),
})
const Body = Type.Unsafe<Partial<Static<typeof Posted>>>({
  type: 'object',
  properties: Posted.properties,
  additionalProperties: true,
})
const CreditAnswer = Type.Object({
  id: Type.String(),
  amount: UsdNumber,
  amount_nano_usd: Type.String(),
  reason: Type.String(),
  posted_by: Type.String(),
  posted_from: Type.String(),
  posted_at: Type.String({ description: 'RFC 3339' }),
})
const List = Type.Object({ credits: Type.Array(CreditAnswer), continuation_token: ContinuationToken })
const Query = Type.Object(PageQuery, { additionalProperties: false })

/** Credits of a project: whoever runs the installation posts them, whoever reads its balance sees them. */
export function credits(app: FastifyInstance, deps: Deps): void {
  app.get<{ Params: { pid: string }; Querystring: Static<typeof Query> }>(
    path,
    {
      config: { access: 'billing:read', operators: true },
      schema: {
        summary: 'List the credits of a project, the newest first',
        querystring: Query,
        response: responses({ 200: List }),
      },
    },
    async request => {
      const { pid } = request.params
      const list = `credits ${pid}`
      const page = readPage(list, request.query, 50, text => /^\d{1,18}$/.test(text))
      const rows = await deps.listCredits(pid, { before: page.after, limit: page.limit + 1 })
      const { items, continuation_token } = toPage(list, page, rows, row => row.transactionId)
      return { credits: items.map(toAnswer), continuation_token }
    },
  )

  app.post<{ Params: { pid: string }; Body: Static<typeof Body> }>(
    path,
    {
      config: { access: 'billing:write', operators: true, idempotent: true },
      schema: {
        summary: 'Post a credit to a project, as an operator of the installation; nobody can buy any',
        body: Body,
        example: { amount: '25.00', reason: 'Paid in advance' },
        response: responses({ 201: CreditAnswer }),
      },
    },
    async (request, reply) => {
      const { amount, reason } = request.body
      const isWhole = amount !== undefined && reason !== undefined
      // Of a client that would buy some; an operator who leaves one of both out is told what is wanted.
      const isPurchase = principalOf(request).operator ? amount === undefined && reason === undefined : !isWhole
      if (isPurchase) throw errorOf(billingErrors.nothingSold)
      const by = requireOperator(deps.credentials, request, request.params.pid)
      const nanoUsd = readUsd(amount ?? '0')
      if (nanoUsd === 0n || reason === undefined) throw errorOf(billingErrors.invalidCredit)
      const { pid } = request.params
      const credit = await deps.postCredit({
        projectId: pid,
        accountId: by.accountId,
        amount: nanoUsd,
        reason,
        by,
        idempotencyKey: readIdempotencyKey(request),
        requestHash: hashRequest(request),
      })
      return reply.code(201).send(toAnswer(credit))
    },
  )
}

/** Decimal USD as nano-USD, exact. */
function readUsd(text: string): bigint {
  const [whole = '', fraction = ''] = text.replace('-', '').split('.')
  const amount = BigInt(whole + fraction.padEnd(9, '0'))
  return text.startsWith('-') ? -amount : amount
}

/** Who could credit a project of their own would never run out. @throws AppError 403 */
export function requireOperator(views: RestCredentialViews, request: FastifyRequest, projectId: string): Author {
  const { kind, id, accountId, operator } = principalOf(request)
  if (!operator) throw errorOf(billingErrors.notOperator)
  return {
    kind,
    id,
    accountId: views.accountOfProject(projectId) ?? accountId,
    address: request.ip,
    userAgent: request.headers['user-agent'],
  }
}

function toAnswer(credit: Credit): Static<typeof CreditAnswer> {
  return {
    id: credit.transactionId,
    amount: usdNumber(credit.amount),
    amount_nano_usd: String(credit.amount),
    reason: credit.reason,
    posted_by: credit.actor,
    posted_from: credit.fromAddress,
    posted_at: credit.postedAt.toISOString(),
  }
}
