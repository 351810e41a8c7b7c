import { createRequire } from 'node:module'
import type { Static, TSchema } from 'typebox'
import type { Validator } from 'typebox/schema'

const require = createRequire(import.meta.url)

/** One thing that is wrong with a value, and where. Says nothing of the value itself. */
export interface SchemaProblem {
  keyword: string
  /** JSON Pointer; empty: the value as a whole. */
  instancePath: string
  params: object
  message: string
}

/** The check of one schema. */
export interface SchemaCheck<Value> {
  matches: (value: unknown) => value is Value
  problems: (value: unknown) => SchemaProblem[]
}

/**
 * Compiled with the first value that is checked: a process meets few of the schemas that it loads. The compiler is loaded
 * then, too: programs that check nothing, those that migrate a database for one, do without its 200 files.
 */
export function checkOf<Schema extends TSchema>(schema: Schema): SchemaCheck<Static<Schema>> {
  let compiled: Validator | undefined
  const validator = () => {
    compiled ??= (require('typebox/schema') as typeof import('typebox/schema')).Compile(schema as object)
    return compiled
  }
  return {
    matches: (value): value is Static<Schema> => validator().Check(value),
    problems: value => validator().Errors(value)[1],
  }
}
