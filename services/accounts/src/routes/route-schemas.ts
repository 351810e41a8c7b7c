import { type TSchema, Type } from 'typebox'

const ErrorResponse = Type.Object({
  error: Type.Object({ code: Type.String(), message: Type.String(), request_id: Type.String() }),
})

/** The responses of a route: what it answers, and the error shape for everything else. */
export function responses<const Ok extends Record<number, TSchema>>(ok: Ok): Ok & Record<'4xx' | '5xx', TSchema> {
  return { ...ok, '4xx': ErrorResponse, '5xx': ErrorResponse }
}

/** A name that people read: no control characters, not blank. */
export const DisplayName = Type.String({
  minLength: 1,
  maxLength: 128,
  pattern: '^[^\\u0000-\\u001f]*[^\\s\\u0000-\\u001f][^\\u0000-\\u001f]*$',
})
export const NoContent = Type.Null()
