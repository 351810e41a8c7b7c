import assert from 'node:assert/strict'
import test from 'node:test'
import { type TSchema, Type as TypeBox } from 'typebox'
import { checkOf } from './schema-check.ts'
import { Type } from './type.ts'

/** One schema of each kind, from either builder. */
const schemas = (from: typeof Type): Record<string, TSchema> => ({
  Array: from.Array(from.String(), { maxItems: 3 }),
  Boolean: from.Boolean(),
  Enum: from.Enum(['a', 'b']),
  Integer: from.Integer({ minimum: 0 }),
  'Literal of text': from.Literal('a'),
  'Literal of a number': from.Literal(402),
  'Literal of a boolean': from.Literal(true),
  Null: from.Null(),
  Number: from.Number({ description: 'any' }),
  'Object, closed': from.Object({ a: from.Optional(from.Integer()), b: from.Null() }, { additionalProperties: false }),
  'Object of nothing': from.Object({}),
  'Object of optional properties': from.Object({ a: from.Optional(from.Optional(from.String())) }),
  'Object made of the properties of another': from.Object(
    { ...from.Object({ a: from.Optional(from.String()), b: from.String() }).properties },
    { description: 'again' },
  ),
  Partial: from.Partial(
    from.Object({ a: from.Integer(), b: from.Optional(from.String()) }, { additionalProperties: false }),
  ),
  String: from.String({ minLength: 1 }),
  Record: from.Record(from.String({ maxLength: 4 }), from.Boolean()),
  Tuple: from.Tuple([from.Integer(), from.String()]),
  Union: from.Union([from.Null(), from.Literal('x')]),
  Unknown: from.Unknown(),
  Unsafe: from.Unsafe({ type: 'object', additionalProperties: true }),
})

test('a schema is, byte for byte, what TypeBox’s own builder writes', () => {
  const theirs = schemas(TypeBox)
  for (const [name, ours] of Object.entries(schemas(Type)))
    assert.equal(JSON.stringify(ours), JSON.stringify(theirs[name]), name)
})

test('a problem says where it is and never what the value was', () => {
  const { matches, problems } = checkOf(Type.Object({ limits: Type.Array(Type.Integer({ minimum: 0 })) }))
  assert.equal(matches({ limits: [1, 2] }), true)
  assert.deepEqual(problems({ limits: [1, 2] }), [])
  assert.equal(matches({ limits: [1, 'sk-secret'] }), false)
  const [first] = problems({ limits: [1, 'sk-secret'] })
  assert.equal(first?.instancePath, '/limits/1')
  assert.doesNotMatch(JSON.stringify(first), /sk-secret/)
})
