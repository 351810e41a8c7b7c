import { checkOf, lineOfText, Type, Uuid } from '@sluice/contracts'

export { responses } from '@sluice/runtime'

/** A name that people read: no control characters, no half of a surrogate pair, not blank. */
export const DisplayName = Type.String({
  minLength: 1,
  maxLength: 128,
  pattern: `^(?=.*\\S)${lineOfText.slice(1)}`,
})
/** `provider/model`; a trailing `*` matches all that begin so. */
export const ModelPattern = Type.String({
  pattern: '^[a-z0-9_-]{1,32}/[^\\s*\\u0000-\\u001f\\u007f\\ud800-\\udfff]{0,159}\\*?$|^\\*$',
})
/** Whether a text is an id as keys and projects have. */
export const isUuid = checkOf(Uuid).matches
/** Where there is nothing to say: an empty object, or no body at all. */
export const NoBody = Type.Union([Type.Null(), Type.Object({}, { additionalProperties: false })])
export const NoContent = Type.Null()
/** A first or a last name; may be empty. */
export const PersonNamePart = Type.String({ maxLength: 128, pattern: lineOfText })
/** What clients of MeshAgent get where there is nothing to tell. */
export const Done = Type.Object({ ok: Type.Literal(true) })
