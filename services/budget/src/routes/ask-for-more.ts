import { type Budget, linesOfText, Type } from '@sluice/contracts'
import {
  ContinuationToken,
  credentialOf,
  errorOf,
  hashCredential,
  PageQuery,
  permissionsIn,
  principalOf,
  readPage,
  responses,
  toPage,
  withinScope,
} from '@sluice/runtime'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import type { BudgetRouteDeps } from '../app.ts'
import { errors } from '../errors.ts'
import { AmountInput, readAmount } from '../limit-input.ts'
import type { Asker } from '../more-request.ts'
import { actorOf, makingOf } from './budget-place.ts'
import { OwnRequestAnswer, toOwnAnswer } from './more-request-answer.ts'

const Body = Type.Object(
  {
    amount: AmountInput,
    reason: Type.String({ minLength: 1, maxLength: 500, pattern: linesOfText }),
  },
  { additionalProperties: false },
)
const BodyWithBudget = Type.Object(
  { budget_id: Type.String({ minLength: 1, maxLength: 64 }), ...Body.properties },
  { additionalProperties: false },
)
/** Nobody is held longer than that: who still wants to know asks again. */
const longestWaitS = 60
const Poll = Type.Object(
  {
    wait: Type.Optional(
      Type.Integer({ minimum: 0, maximum: longestWaitS, description: 'Seconds to wait for an answer' }),
    ),
  },
  { additionalProperties: false },
)
const List = Type.Object({ requests: Type.Array(OwnRequestAnswer), continuation_token: ContinuationToken })
const path = '/accounts/projects/:pid/llm-proxy/requests'
const description =
  'A participant token is a credential here, too: it asks for itself, and sees its own requests alone.'

/** Asking for more of a budget that said no, by whoever it was said to. */
export function askForMoreRoutes(app: FastifyInstance, deps: BudgetRouteDeps): void {
  const ask = async (
    request: FastifyRequest,
    reply: FastifyReply,
    asker: Asker,
    { budget_id: budgetId, amount, reason }: Static<typeof BodyWithBudget>,
  ) => {
    const draft = {
      requestId: deps.newRequestId(),
      budgetId,
      readAmount: (unit: Budget['unit']) => readAmount(unit, 'amount', amount),
      reason,
      atMs: deps.now(),
    }
    const made = await deps.moreRequests.ask(asker, draft, makingOf(request))
    return reply.code(201).send(toOwnAnswer(made, deps.publicOrigin))
  }

  // The link that refusals carry.
  app.get<{ Params: { budget_id: string } }>(
    '/ask/:budget_id',
    {
      config: { access: 'public' },
      schema: { summary: 'Say how to ask for more of a budget', response: responses({ 200: Type.String() }) },
    },
    async (_request, reply) => reply.type('text/plain; charset=utf-8').send(howTo),
  )

  app.post<{ Params: { budget_id: string }; Body: Static<typeof Body> }>(
    '/ask/:budget_id',
    {
      config: { access: 'signed-in', takesTokens: true, idempotent: true },
      schema: {
        summary: 'Ask for more of a budget, with the key or token that was refused',
        description,
        example: { amount: '20', reason: 'The report is due tomorrow' },
        body: Body,
        response: responses({ 201: OwnRequestAnswer }),
      },
    },
    async (request, reply) => {
      const principal = principalOf(request)
      const [projectId, ...others] = principal.roles.keys()
      if (projectId === undefined || others.length > 0) throw errorOf(errors.projectMissing)
      if (!permissionsIn(deps.views, principal, projectId)?.has('llm:invoke')) throw errorOf(errors.mayNotCall)
      const asker = askerOf(request, deps, projectId)
      const { budget_id } = request.params
      return withinScope({ accountId: asker.accountId, projectId }, () =>
        ask(request, reply, asker, { budget_id, ...request.body }),
      )
    },
  )

  app.post<{ Params: { pid: string }; Body: Static<typeof BodyWithBudget> }>(
    path,
    {
      config: { access: 'llm:invoke', takesTokens: true, idempotent: true },
      schema: {
        summary: 'Ask for more of a budget that one meets',
        description,
        example: { budget_id: 'bud_01', amount: '20', reason: 'The report is due tomorrow' },
        body: BodyWithBudget,
        response: responses({ 201: OwnRequestAnswer }),
      },
    },
    (request, reply) => ask(request, reply, askerOf(request, deps, request.params.pid), request.body),
  )

  app.get<{ Params: { pid: string }; Querystring: Static<typeof PageOnly> }>(
    path,
    {
      config: { access: 'llm:invoke', takesTokens: true },
      schema: {
        summary: 'List one’s own requests for more',
        description,
        querystring: PageOnly,
        response: responses({ 200: List }),
      },
    },
    async request => {
      const { pid } = request.params
      const page = readPage(`requests ${pid}`, request.query)
      const asker = askerOf(request, deps, pid)
      const found = await deps.moreRequests.listOwn(asker, { after: page.after, limit: page.limit + 1 })
      const { items, continuation_token } = toPage(`requests ${pid}`, page, found, ({ requestId }) => requestId)
      return { continuation_token, requests: items.map(each => toOwnAnswer(each, deps.publicOrigin)) }
    },
  )

  app.get<{ Params: { pid: string; request: string }; Querystring: Static<typeof Poll> }>(
    `${path}/:request`,
    {
      config: { access: 'llm:invoke', takesTokens: true },
      schema: {
        summary: 'Ask what became of one’s own request for more',
        description,
        querystring: Poll,
        response: responses({ 200: OwnRequestAnswer }),
      },
    },
    async (request, reply) => {
      const { pid, request: requestId } = request.params
      const asker = askerOf(request, deps, pid)
      const find = () => deps.moreRequests.findOwn(asker, requestId)
      const found = await find()
      if (found.decided) return toOwnAnswer(found, deps.publicOrigin)
      reply.header('retry-after', String(retryAfterS))
      const waitMs = (request.query.wait ?? 0) * 1_000
      const answered =
        waitMs === 0 ? found : await waitForAnswer(request, deps, { projectId: pid, requestId, waitMs }, find)
      if (answered.decided) reply.removeHeader('retry-after')
      return toOwnAnswer(answered, deps.publicOrigin)
    },
  )
}

const PageOnly = Type.Object(PageQuery, { additionalProperties: false })

/** When to ask again what became of a request. */
const retryAfterS = 5
/** What another instance has decided is seen after that at the latest. */
const lookMs = 2_000

/** @throws AppError 429, 503 where as many wait already as may */
async function waitForAnswer<Found extends { decided: unknown }>(
  request: FastifyRequest,
  { decisions, now }: BudgetRouteDeps,
  { projectId, requestId, waitMs }: { projectId: string; requestId: string; waitMs: number },
  find: () => Promise<Found>,
): Promise<Found> {
  const place = decisions.takePlace(projectId)
  if (typeof place === 'string') throw errorOf(place === 'project' ? errors.tooManyWaiting : errors.waitingFull)
  const untilMs = now() + waitMs
  const left = new AbortController()
  const onClose = () => left.abort()
  request.raw.socket.on('close', onClose)
  try {
    for (;;) {
      await decisions.wait(requestId, Math.min(lookMs, untilMs - now()), left.signal)
      const found = await find()
      if (found.decided || untilMs <= now() || left.signal.aborted) return found
    }
  } finally {
    request.raw.socket.off('close', onClose)
    place.giveBack()
  }
}

/** Pays for calls of keys and of people that have no team. */
const unassigned = 'unassigned'

function askerOf(request: FastifyRequest, { views }: BudgetRouteDeps, projectId: string): Asker {
  const { accountId: ofPrincipal, kind, id, participant } = principalOf(request)
  const accountId = views.accountOfProject(projectId) ?? ofPrincipal
  const place = { by: actorOf(request), accountId, projectId }
  if (kind === 'member') return { ...place, memberId: id }
  const key = views.findKeyByHash(participant?.key_hash ?? hashCredential(credentialOf(request) ?? ''))
  return {
    ...place,
    participant,
    keyId: id,
    keyName: key?.name,
    memberId: key?.member_id,
    serviceAccountId: key?.service_account_id,
    teamIds:
      key?.team_id === undefined
        ? [...(key?.member_team_ids ?? []), key?.member_default_team_id ?? unassigned]
        : [key.team_id],
  }
}

const howTo = `A budget of yours is spent. Its owner can give you more, if you ask.

Ask, with the key or token that was refused:

  curl -X POST <this address> -H 'authorization: Bearer <your key or token>' -H 'content-type: application/json' \\
    -d '{"amount": "5.00", "reason": "What it is for"}'

The answer says where to look what became of it ("poll"). Wait there for up to a minute at a time:

  curl '<that address>?wait=60' -H 'authorization: Bearer <your key or token>'

Once it is approved, calls go on. One request is open at a time; until it is decided, asking again changes nothing.
`
