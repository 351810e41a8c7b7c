import { createRequire } from 'node:module'
import type * as Meshagent from '@meshagent/meshagent'

// Its ES module build is CommonJS under another name: Node can only require it.
const { ApiScope, LLMGrant, ParticipantToken }: typeof Meshagent = createRequire(import.meta.url)(
  '@meshagent/meshagent',
)

export interface Grants {
  models?: string[]
  room?: string
  /** Without the LLM grant. */
  noLlm?: boolean
  expiration?: Date
}

/** A participant token as MeshAgent's own client mints it. */
export async function mintToken(apiKey: string, { models, room, noLlm, expiration }: Grants = {}): Promise<string> {
  const token = new ParticipantToken({ name: 'bot' })
  if (room !== undefined) token.addRoomGrant(room)
  token.addRoleGrant('agent')
  const llm = new LLMGrant(models ? { models } : {})
  token.addApiGrant(noLlm ? ApiScope.userDefault() : new ApiScope({ llm }))
  return await token.toJwt({ apiKey, ...(expiration ? { expiration } : {}) })
}
