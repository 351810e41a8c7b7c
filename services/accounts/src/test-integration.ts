import type { Bus } from '@sluice/bus'
import { IntegrationTestRequest, IntegrationTestResult, integrationTestSubject } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import { errors } from './errors.ts'

/** Has a gateway ask the provider of an integration for its models. @throws AppError 503 where none answers */
export type TestIntegration = (asked: IntegrationTestRequest) => Promise<IntegrationTestResult>

/** Longer than a gateway waits for its view and its provider together. */
const timeoutMs = 15_000

export async function askGateways(bus: Bus, asked: IntegrationTestRequest): Promise<IntegrationTestResult> {
  try {
    const answer = await bus.connection.request(integrationTestSubject, IntegrationTestRequest.encode(asked), {
      timeout: timeoutMs,
    })
    return IntegrationTestResult.decode(answer.data)
  } catch (cause) {
    throw errorOf(errors.testUnavailable, { cause })
  }
}
