import { listModels } from './list-models.ts'
import type { AuthenticatedCall, GatewayDeps } from './request-path.ts'

/** Does everything for a call that is authenticated and not admitted yet. What it throws is answered as a refusal. */
export type EndpointHandler = (deps: GatewayDeps, call: AuthenticatedCall) => void | Promise<void>

/** What is done for rows of the endpoint table that are not simply forwarded. */
export const ownHandlers = {
  'models-list': listModels,
} satisfies Record<string, EndpointHandler>

export type OwnHandler = keyof typeof ownHandlers
