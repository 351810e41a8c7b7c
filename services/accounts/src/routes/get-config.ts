import { Type } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import type { AppDeps } from '../app.ts'
import { responses } from './route-schemas.ts'

const names = ['studio', 'accounts', 'powerboards', 'api', 'mail', 'pages', 'registry'] as const
const Response = Type.Object({ domains: Type.Record(Type.String(), Type.String()) })

/** Where clients find each part: all of them at the one public origin. */
export function registerGetConfig(app: FastifyInstance, deps: AppDeps): void {
  const { origin } = new URL(deps.publicUrl)
  const answer = { domains: Object.fromEntries(names.map(name => [name, origin])) }
  app.get(
    '/config',
    {
      config: { access: 'public' },
      schema: { summary: 'Find where each part answers', response: responses({ 200: Response }) },
    },
    async () => answer,
  )
}
