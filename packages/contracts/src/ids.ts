import { Type } from './type.ts'

export const Uuid = Type.String({ pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' })
/** Milliseconds since 1970-01-01T00:00:00Z, integer. */
export const UnixMs = Type.Integer({ minimum: 0 })
/** Integer nano-USD (10⁻⁹ USD). One JSON number holds up to 9 million dollars exactly; sums are done in bigint. */
export const NanoUsd = Type.Integer()
/** Prefixed or UUID identifiers of this system: no white space, no dots (they become subject tokens and KV keys). */
export const Id = Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' })
/** The name of a room: small letters and digits, `-` within. */
export const RoomName = Type.String({ pattern: '^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$' })

/**
 * Pattern of a line of text that every store can hold: no control characters, no half of a surrogate pair. Patterns are read
 * as Unicode, so that a whole pair is one character.
 */
export const lineOfText = '^[^\\u0000-\\u001f\\u007f\\ud800-\\udfff]*$'
/** The same, with tabs and line ends. */
export const linesOfText = '^[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f\\ud800-\\udfff]*$'
