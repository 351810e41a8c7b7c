import { createRequire } from 'node:module'
import type ValidatorLibrary from '@fastify/ajv-compiler'
import type SerializerLibrary from '@fastify/fast-json-stringify-compiler'
import type { FastifyServerOptions } from 'fastify'

type ValidatorOptions = Parameters<ValidatorLibrary.BuildCompilerFromPool>
type Validate = ((data: unknown) => unknown) & { errors?: unknown }
type Serialize = (data: unknown) => string

const require = createRequire(import.meta.url)
let validators: ValidatorLibrary.BuildCompilerFromPool | undefined
let compileSerializer: SerializerLibrary.SerializerCompiler | undefined
/** By the schema itself: many routes answer with the same ones, with the error above all. */
const serializers = new WeakMap<object, Serialize>()

/**
 * Fastify's own validators and serializers, each compiled with the first request that needs it. Compiled before the first
 * request they are a good part of what a service takes to start, and most routes of a process are never asked. Schemas
 * stand for themselves: `addSchema` is not looked at in answers.
 */
export const lazyCompilers: NonNullable<FastifyServerOptions['schemaController']> = {
  compilersFactory: {
    // Declared as if it were given a schema: it is given what Fastify knows of the route, with the schema in it.
    buildValidator: buildValidator as unknown as ValidatorLibrary.BuildCompilerFromPool,
    buildSerializer,
  },
}

function buildValidator(...options: ValidatorOptions) {
  return ({ schema }: { schema: object }): Validate => {
    let compiled: Validate | undefined
    const validate: Validate = data => {
      compiled ??= compileValidator(schema, options)
      const answer = compiled(data)
      validate.errors = compiled.errors
      return answer
    }
    return validate
  }
}

function buildSerializer() {
  return ({ schema }: SerializerLibrary.RouteDefinition): Serialize => {
    let serialize: Serialize | undefined
    return data => {
      serialize ??= serializerOf(schema as object)
      return serialize(data)
    }
  }
}

function compileValidator(schema: object, options: ValidatorOptions): Validate {
  validators ??= (require('@fastify/ajv-compiler') as typeof ValidatorLibrary).AjvCompiler()
  return validators(...options)({ schema }) as unknown as Validate
}

function serializerOf(schema: object): Serialize {
  const known = serializers.get(schema)
  if (known) return known
  const library = () => require('@fastify/fast-json-stringify-compiler') as typeof SerializerLibrary
  compileSerializer ??= library().SerializerSelector()({}, {})
  const serialize = compileSerializer({ schema } as SerializerLibrary.RouteDefinition)
  serializers.set(schema, serialize)
  return serialize
}
