import type { Static } from 'typebox'
import { defineDocument } from './define-event.ts'
import { Type } from './type.ts'

/** Accounts answers here: beside gateways it alone can open the secrets that participant tokens are signed with. */
export const participantProofSubject = 'accounts.participant-proof.v1'

export const ParticipantProofRequestSchema = Type.Object({ token: Type.String({ maxLength: 16_384 }) })
/** Asks who a participant token speaks for. By request and reply on {@link participantProofSubject}. */
export const ParticipantProofRequest = defineDocument('participant proof request', ParticipantProofRequestSchema)
export type ParticipantProofRequest = Static<typeof ParticipantProofRequestSchema>

export const ProvedParticipantSchema = Type.Object({
  /** SHA-256, hex, by which its key has the secret that has signed it: what the key may do stands in KV `keys`. */
  key_hash: Type.String(),
  name: Type.String(),
  room: Type.Optional(Type.String()),
  /** It has the grant to call models. */
  may_call: Type.Boolean(),
})
export type ProvedParticipant = Static<typeof ProvedParticipantSchema>

export const ParticipantProofSchema = Type.Object({
  /** Null: the token is none, has expired, or no key that is in force has signed it. */
  participant: Type.Union([ProvedParticipantSchema, Type.Null()]),
})
export const ParticipantProof = defineDocument('participant proof', ParticipantProofSchema)
export type ParticipantProof = Static<typeof ParticipantProofSchema>
