import { MemberMailbox, MemberMailboxRequest, memberMailboxSubject } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { answerRequests } from './answer-requests.ts'
import type { Bus } from './connect.ts'

/** Answers where mail reaches members. */
export function answerMemberMailboxes(
  bus: Bus,
  find: (request: MemberMailboxRequest) => Promise<string | undefined>,
  log: Logger,
): { close: () => Promise<void> } {
  return answerRequests(
    bus,
    memberMailboxSubject,
    async body => {
      const address = await find(MemberMailboxRequest.decode(body))
      return { body: MemberMailbox.encode({ address: address ?? null }) }
    },
    { log },
  )
}

/** Asks where mail reaches a member; undefined: nowhere. @throws where nobody answers: accounts is away, or its store is */
export async function askMemberMailbox(bus: Bus, request: MemberMailboxRequest): Promise<string | undefined> {
  const body = MemberMailboxRequest.encode(request)
  const answer = await bus.connection.request(memberMailboxSubject, body, { timeout: 5_000 })
  return MemberMailbox.decode(answer.data).address ?? undefined
}
