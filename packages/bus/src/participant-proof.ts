import {
  ParticipantProof,
  ParticipantProofRequest,
  type ProvedParticipant,
  participantProofSubject,
} from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { answerRequests } from './answer-requests.ts'
import type { Bus } from './connect.ts'

/** Answers who participant tokens speak for. */
export function answerParticipantProofs(
  bus: Bus,
  prove: (token: string) => Promise<ProvedParticipant | undefined>,
  log: Logger,
): { close: () => Promise<void> } {
  return answerRequests(
    bus,
    participantProofSubject,
    async body => {
      const participant = await prove(ParticipantProofRequest.decode(body).token)
      return { body: ParticipantProof.encode({ participant: participant ?? null }) }
    },
    { log },
  )
}

/** Asks who a participant token speaks for; undefined: for nobody. @throws where nobody answers: accounts is away, or its store is */
export async function askParticipantProof(bus: Bus, token: string): Promise<ProvedParticipant | undefined> {
  const body = ParticipantProofRequest.encode({ token })
  const answer = await bus.connection.request(participantProofSubject, body, { timeout: 5_000 })
  return ParticipantProof.decode(answer.data).participant ?? undefined
}
