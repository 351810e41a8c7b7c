import { Type } from '@sluice/contracts'
import { errorOf, responses } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import { billingErrors } from '../errors.ts'

const Subscription = Type.Object({ active: Type.Literal(false), subscription: Type.Null() })
/** Whatever a client would pay by: nothing of it is read. */
const Body = Type.Unsafe<object>({ type: 'object', additionalProperties: true })

/**
 * What clients of MeshAgent ask about paying. Nothing is sold here: there is no subscription, and nothing to buy, which is said
 * to those who would.
 */
export function subscription(app: FastifyInstance): void {
  app.get(
    '/accounts/projects/:pid/subscription',
    {
      config: { access: 'billing:read' },
      schema: {
        summary: 'Ask for the subscription of a project: there is none',
        response: responses({ 200: Subscription }),
      },
    },
    async () => ({ active: false as const, subscription: null }),
  )
  for (const [path, summary] of [
    ['subscription', 'Buy a subscription: not offered'],
    ['recharge', 'Set automatic recharge: not offered'],
  ] as const)
    app.post(
      `/accounts/projects/:pid/${path}`,
      { config: { access: 'billing:write' }, schema: { summary, body: Body, response: responses({}) } },
      async () => {
        throw errorOf(billingErrors.nothingSold)
      },
    )
}
