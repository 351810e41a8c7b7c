import { MetBudgets, MetBudgetsRequest, metBudgetsSubject } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { answerRequests } from './answer-requests.ts'
import type { Bus } from './connect.ts'

/** Answers which budgets and stops a call has met. */
export function answerMetBudgets(
  bus: Bus,
  find: (request: MetBudgetsRequest) => Promise<MetBudgets>,
  log: Logger,
): { close: () => Promise<void> } {
  return answerRequests(
    bus,
    metBudgetsSubject,
    async body => ({ body: MetBudgets.encode(await find(MetBudgetsRequest.decode(body))) }),
    { log },
  )
}

/** Asks which budgets and stops a call has met. @throws where nobody answers: the budget service is away, or its store is */
export async function askMetBudgets(bus: Bus, request: MetBudgetsRequest): Promise<MetBudgets> {
  const body = MetBudgetsRequest.encode(request)
  const answer = await bus.connection.request(metBudgetsSubject, body, { timeout: 5_000 })
  return MetBudgets.decode(answer.data)
}
