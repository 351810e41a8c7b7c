import { createRequire } from 'node:module'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import { lazyCompilers } from './lazy-compilers.ts'

const require = createRequire(import.meta.url)

/** Fastify is loaded by who listens: programs that migrate, bootstrap or check do not wait for it. */
export function newListener(options: FastifyServerOptions): FastifyInstance {
  const { fastify } = require('fastify') as typeof import('fastify')
  return fastify({
    logger: false,
    // A member that nobody knows is refused: what is taken away in silence was meant for something.
    ajv: { customOptions: { removeAdditional: false } },
    schemaController: lazyCompilers,
    ...options,
  })
}
