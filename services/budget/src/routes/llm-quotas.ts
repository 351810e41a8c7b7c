import { Type } from '@sluice/contracts'
import { windowAt } from '@sluice/leases'
import { AppError, errorOf, principalOf, responses } from '@sluice/runtime'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import { formatAmount, parseAmount } from '../amount.ts'
import type { BudgetRouteDeps } from '../app.ts'
import { heldIn, type QuotaKind, quotaOf, spentIn } from '../budget.ts'
import type { BudgetState } from '../budget-management-store.ts'
import { errors } from '../errors.ts'
import type { QuotaChange, QuotaSubject } from '../quota-store.ts'
import { actorOf } from './budget-place.ts'

/** USD as clients of MeshAgent send it: a number, or the same as text; null: no quota. Without a type: null would be read as zero. */
const Amount = Type.Unsafe<unknown>({ description: 'USD, as a number or decimal text; null: none' })
/** USD as a JSON number, digit for digit. Without a type: a serialiser for numbers would take it through a float. */
const Usd = Type.Unsafe<unknown>({ description: 'USD, exact to the nano-dollar; null: none' })

const Defaults = Type.Object({ user_monthly_quota: Usd, service_account_monthly_quota: Usd })
const DefaultsBody = Type.Object(
  { user_monthly_quota: Type.Optional(Amount), service_account_monthly_quota: Type.Optional(Amount) },
  { additionalProperties: false },
)
const QuotaBody = Type.Object({ monthly_quota: Amount }, { additionalProperties: false })
const QuotaState = Type.Object({
  project_id: Type.String(),
  subject_type: Type.Enum(['user', 'service_account']),
  subject_id: Type.String(),
  monthly_quota: Usd,
  monthly_quota_override: Usd,
  balance: Usd,
  spent: Usd,
  resets_at: Type.String(),
  enabled: Type.Boolean(),
})

const path = '/accounts/projects/:pid/llm-quotas'
const kinds = [
  { segment: 'users', kind: 'member', type: 'user', words: 'a member' },
  {
    segment: 'service-accounts',
    kind: 'service_account',
    type: 'service_account',
    words: 'a service account',
  },
] as const satisfies readonly { segment: string; kind: QuotaKind; type: string; words: string }[]

/** Monthly quotas as MeshAgent's clients ask for them: they are hard budgets in `usd`, and stand among the others. */
export function llmQuotaRoutes(app: FastifyInstance, deps: BudgetRouteDeps): void {
  const accountOf = (request: FastifyRequest, projectId: string) =>
    deps.views.accountOfProject(projectId) ?? principalOf(request).accountId
  const changeBy = (request: FastifyRequest<{ Params: { pid: string } }>): QuotaChange => ({
    accountId: accountOf(request, request.params.pid),
    projectId: request.params.pid,
    by: actorOf(request),
    atMs: deps.now(),
    newId: deps.newBudgetId,
  })
  const statesOf = (request: FastifyRequest<{ Params: { pid: string } }>) => {
    const { pid: projectId } = request.params
    return deps.budgets.list([{ accountId: accountOf(request, projectId), projectId }], deps.now())
  }
  const readDefaults = async (request: FastifyRequest<{ Params: { pid: string } }>) => {
    const states = await statesOf(request)
    return {
      user_monthly_quota: usdOf(defaultOf(states, 'member')),
      service_account_monthly_quota: usdOf(defaultOf(states, 'service_account')),
    }
  }

  app.get<{ Params: { pid: string } }>(
    `${path}/defaults`,
    {
      config: { access: 'usage:read' },
      schema: { summary: 'Get the monthly quotas of all', response: responses({ 200: Defaults }) },
    },
    readDefaults,
  )

  app.put<{ Params: { pid: string }; Body: Static<typeof DefaultsBody> }>(
    `${path}/defaults`,
    {
      config: { access: 'budgets:write' },
      schema: {
        summary: 'Set the monthly quotas of all; null: none',
        body: DefaultsBody,
        response: responses({ 200: Defaults }),
      },
    },
    async request => {
      const { user_monthly_quota: users, service_account_monthly_quota: accounts } = request.body
      const change = changeBy(request)
      // Both are read before either is set.
      const limits = [readAmount(users), readAmount(accounts)] as const
      if (users !== undefined) await deps.quotas.setDefault(change, 'member', limits[0])
      if (accounts !== undefined) await deps.quotas.setDefault(change, 'service_account', limits[1])
      return readDefaults(request)
    },
  )

  for (const { segment, kind, type, words } of kinds) {
    type Subject = { Params: { pid: string; subject: string } }
    const read = async (request: FastifyRequest<Subject>, subject: QuotaSubject) => {
      const states = await statesOf(request)
      return { project_id: request.params.pid, subject_type: type, ...stateOf(states, subject, deps.now()) }
    }
    const subjectOf = (request: FastifyRequest<Subject>): QuotaSubject => {
      const { subject: id } = request.params
      if (!plainId.test(id)) throw noSubject()
      return { kind, id }
    }

    app.get<Subject>(
      `${path}/${segment}/:subject`,
      {
        config: { access: 'usage:read' },
        schema: { summary: `Get the monthly quota of ${words}`, response: responses({ 200: QuotaState }) },
      },
      request => read(request, subjectOf(request)),
    )

    app.put<Subject & { Body: Static<typeof QuotaBody> }>(
      `${path}/${segment}/:subject`,
      {
        config: { access: 'budgets:write' },
        schema: {
          summary: `Give ${words} a monthly quota of their own`,
          body: QuotaBody,
          response: responses({ 200: QuotaState }),
        },
      },
      async request => {
        const subject = subjectOf(request)
        const limit = readAmount(request.body.monthly_quota)
        if (limit === undefined) throw errorOf(errors.invalidQuota)
        await deps.quotas.setOwn(changeBy(request), subject, limit)
        return read(request, subject)
      },
    )

    app.delete<Subject>(
      `${path}/${segment}/:subject`,
      {
        config: { access: 'budgets:write' },
        schema: {
          summary: `Take the monthly quota of their own from ${words}: that of all holds again`,
          response: responses({ 200: QuotaState }),
        },
      },
      async request => {
        const subject = subjectOf(request)
        await deps.quotas.setOwn(changeBy(request), subject, undefined)
        return read(request, subject)
      },
    )

    // `{id}:reset`: a colon stands for a parameter in patterns, so that the whole segment is read here.
    app.post<Subject>(
      `${path}/${segment}/:subject`,
      {
        config: { access: 'budgets:write' },
        schema: {
          summary: `Let the monthly quota of ${words} begin anew ({subject} is the id with ":reset")`,
          response: responses({ 200: QuotaState }),
        },
      },
      async request => {
        const { subject: named } = request.params
        const id = named.endsWith(':reset') ? named.slice(0, -':reset'.length) : ''
        if (!plainId.test(id)) throw noSubject()
        const subject = { kind, id }
        if (!(await deps.quotas.reset(changeBy(request), subject))) throw errorOf(errors.quotaMissing)
        return read(request, subject)
      },
    )
  }
}

const plainId = /^[A-Za-z0-9_-]{1,64}$/
const noSubject = () => new AppError('not_found', 404, 'There is no such resource.')

function defaultOf(states: readonly BudgetState[], kind: QuotaKind): BudgetState | undefined {
  return states.find(({ budget }) => budget.quotaOf === kind)
}

function usdOf(state: BudgetState | undefined): unknown {
  return state ? usd(BigInt(state.budget.ownLimit)) : null
}

function stateOf(states: readonly BudgetState[], { kind, id }: QuotaSubject, nowMs: number) {
  const own = states.find(({ budget }) => {
    const quota = quotaOf(budget)
    return quota?.kind === kind && quota.id === id
  })
  const all = defaultOf(states, kind)
  const met = own ?? all
  const copy = own ? '' : id
  const window = met?.windows.find(one => one.copy === copy)
  const spent = window ? spentIn(window) : 0n
  const left = met ? BigInt(met.budget.limit) - spent - (window ? heldIn(window) : 0n) : 0n
  const { endMs = nowMs } = windowAt('month', met?.budget.time_zone ?? 'UTC', nowMs)
  return {
    subject_id: id,
    monthly_quota: met ? usd(BigInt(met.budget.limit)) : null,
    monthly_quota_override: usdOf(own),
    balance: met ? usd(left > 0n ? left : 0n) : null,
    spent: usd(spent),
    resets_at: new Date(endMs).toISOString(),
    enabled: met !== undefined,
  }
}

/** A number in the digits that it was sent with, as far as JSON keeps them; undefined: none. @throws AppError 400 */
function readAmount(amount: unknown): number | undefined {
  if (amount === undefined || amount === null) return undefined
  const read = typeof amount === 'number' || typeof amount === 'string' ? parseAmount('usd', String(amount)) : undefined
  if (read === undefined) throw errorOf(errors.invalidQuota)
  return Number(read)
}

function usd(nanoUsd: bigint): unknown {
  return (JSON as typeof JSON & { rawJSON: (text: string) => unknown }).rawJSON(formatAmount('usd', nanoUsd))
}
