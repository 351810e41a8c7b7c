import type { Static } from 'typebox'
import { defineDocument } from './define-event.ts'
import { Id, UnixMs, Uuid } from './ids.ts'
import { Type } from './type.ts'
import { Dialect } from './usage-recorded.ts'

export const StoredFileSchema = Type.Object({
  project_id: Uuid,
  dialect: Dialect,
  /** Whose credential it lives under: `managed`, or the id of a project's integration. */
  access: Id,
  /** The provider's id. */
  file_id: Type.String({ minLength: 1, maxLength: 256 }),
  purpose: Type.String({ maxLength: 64 }),
  created_at_ms: UnixMs,
  /** What stands in a file of requests for a batch. */
  requests: Type.Object({
    /** Distinct models. */
    models: Type.Array(Type.String(), { minItems: 1, maxItems: 64 }),
    /** Distinct models that requests name beside their own, for tools, say. Absent: nobody has looked for them. */
    named_models: Type.Optional(
      Type.Array(Type.Object({ model: Type.String(), member: Type.String() }), { maxItems: 64 }),
    ),
    /** Distinct paths that they are for. */
    targets: Type.Array(Type.String(), { minItems: 1, maxItems: 8 }),
    count: Type.Integer({ minimum: 1 }),
    size_bytes: Type.Integer({ minimum: 0 }),
    /** The most that all of them can use, as a batch, by these books. Absent: nobody has counted. */
    bound: Type.Optional(
      Type.Object({
        nano_usd: Type.Integer({ minimum: 0 }),
        tokens: Type.Integer({ minimum: 0 }),
        requests: Type.Integer({ minimum: 0 }),
        /** What of a request has no bound. Absent: all of them have one. */
        unbounded_by: Type.Optional(Type.String()),
        /** The same, for each model. Absent: they are for one, or nobody has told them apart. */
        by_model: Type.Optional(
          Type.Array(
            Type.Object({
              /** Absent: what cannot be read may be for any. */
              model: Type.Optional(Type.String()),
              nano_usd: Type.Integer({ minimum: 0 }),
              tokens: Type.Integer({ minimum: 0 }),
              requests: Type.Integer({ minimum: 0 }),
              unbounded_by: Type.Optional(Type.String()),
            }),
            { maxItems: 65 },
          ),
        ),
        price_book_id: Type.String(),
        override_price_book_id: Type.Optional(Type.String()),
        /** What has no price was counted at the highest. Absent: as free. */
        assumes_dearest: Type.Optional(Type.Literal(true)),
      }),
    ),
  }),
})

/** A file that a project has uploaded through a gateway, in KV `files` under {@link storedFileKey}. */
export const StoredFile = defineDocument('stored file', StoredFileSchema)
export type StoredFile = Static<typeof StoredFileSchema>

/** Key of a file: of its project alone, so that no other one finds it. `idHash`: of its id, in characters that a key may have. */
export function storedFileKey(projectId: string, idHash: string): string {
  return `${projectId}.${idHash}`
}
