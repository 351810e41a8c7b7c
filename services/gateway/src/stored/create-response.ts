import type { Project } from '@sluice/contracts'
import type { AdmittedCall } from '../call.ts'
import { type ForwardDeps, forward, type ReplyObserver } from '../forward.ts'
import { classNotOpen } from '../path-class.ts'
import { proveAgain } from '../prove-again.ts'
import type { ModelRequest } from '../read-request.ts'
import { rememberMade } from '../references/remember-made.ts'
import { Refusal } from '../refusal.ts'
import {
  type AuthenticatedCall,
  admit,
  type Forwarding,
  forwardToProvider,
  type GatewayDeps,
  headersToForward,
  readRequest,
  repeatedHeaders,
} from '../request-path.ts'
import { BackgroundReply } from './background-reply.ts'
import { registerBackground } from './register-background.ts'
import { ResponseObserver } from './response-observer.ts'

/**
 * `POST /v1/responses`: as every call, but that one in the background is recorded before its maker hears of it, and that
 * the maker of a kept one is remembered where the project may ask for it again.
 */
export function createResponse(deps: GatewayDeps, call: AuthenticatedCall): void | Promise<void> {
  return forwardToProvider(deps, call, creation)
}

const creation: Forwarding = {
  read: readRequest,
  admit: admitCreation,
  send: (deps, call, admitted, { background, kept }) =>
    forward(
      background || kept === false ? deps : remembering(deps, admitted),
      admitted,
      repeatedHeaders(deps, call, admitted),
      call.response,
      call.refuse,
      background ? inBackground(deps, admitted) : undefined,
    ),
}

/** @throws Refusal */
function admitCreation(deps: GatewayDeps, call: AuthenticatedCall, asked: ModelRequest): AdmittedCall {
  if (asked.background) {
    proveAgain(deps, call)
    const { project } = call.principal
    if (!mayAskAgain(project))
      throw classNotOpen('A response in the background ("background": true)', 'stored', project)
    deps.stored.records.requireRecords()
  }
  return admit(deps, call, asked)
}

/** Whether a project may ask again for the responses it has made. */
function mayAskAgain({ path_classes: classes }: Project): boolean {
  return classes?.stored === true
}

function remembering(deps: GatewayDeps, { principal }: AdmittedCall): ForwardDeps {
  const isOpen = mayAskAgain(principal.project)
  return {
    ...deps,
    onSettled(call, event, outcome) {
      if (event.response_id !== undefined && event.http_status === 200) {
        if (isOpen) deps.stored.records.remember(call, event.response_id)
        rememberMade(deps, call, { ...outcome.usage, response_id: event.response_id })
      }
      deps.onSettled(call, event, outcome)
    },
  }
}

function inBackground(deps: GatewayDeps, call: AdmittedCall): ReplyObserver {
  const projectId = call.principal.identity.project_id
  return relay =>
    new BackgroundReply(relay, {
      register: told => registerBackground(deps, call, relay, told),
      onTold: told => void deps.stored.poller.settleAsTold(projectId, told),
    })
}

/**
 * `GET`, `DELETE /v1/responses/{id}`, `POST …/cancel`, `GET …/input_items`: free, and only for the project that made the
 * response. Whoever hears first that a background one has ended settles it.
 */
export async function askForResponse(deps: GatewayDeps, call: AuthenticatedCall): Promise<void> {
  const { records, poller } = deps.stored
  const projectId = call.principal.identity.project_id
  const responseId = call.match.parameter ?? ''
  const asked = await readRequest(deps, call)
  const made = await records.find(projectId, responseId)
  const admitOwn = (): AdmittedCall => {
    const admitted = admit(deps, call, asked)
    // One that another project made, or under another credential, looks like one that nobody made.
    if (made?.access !== admitted.route.access)
      throw new Refusal('not_found', `Response with id '${responseId}' not found.`)
    return admitted
  }
  let admitted = admitOwn()
  const isDeletion = call.endpoint.method === 'DELETE'
  if (isDeletion) {
    // Once it is deleted nobody can know what it cost.
    const outcome = await poller.lookAfresh(projectId, responseId)
    if (outcome !== 'settled') throw notDeletable(responseId, outcome)
    admitted = admitOwn()
  }
  const observer: ReplyObserver = relay =>
    new ResponseObserver(relay, ({ status, told }) => {
      if (told) void poller.settleAsTold(projectId, told)
      if (isDeletion && status === 200) void records.forget(projectId, responseId)
    })
  forward(deps, admitted, headersToForward(deps, call, admitted), call.response, call.refuse, observer)
}

function notDeletable(responseId: string, outcome: 'running' | 'elsewhere' | 'failed'): Refusal {
  if (outcome === 'running')
    return new Refusal('invalid_request', `Response '${responseId}' is still being made. Cancel it, then delete it.`)
  const why = outcome === 'failed' ? 'its provider could not be asked' : 'others are settling it'
  return new Refusal(
    'records_unavailable',
    `What response '${responseId}' has cost is not known yet (${why}), so it is not deleted. Try again in a moment.`,
    { retryAfterS: outcome === 'failed' ? 5 : 1 },
  )
}
