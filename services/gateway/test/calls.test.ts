import { after } from 'node:test'
import { atFileEnd, testFolder } from '@sluice/test-env'
import { abortsAreSettled } from './calls/aborts.ts'
import { bytesPassUntouched } from './calls/bytes.ts'
import { cutsAreClean } from './calls/cuts.ts'
import { credentialsEnv, integrationsAreUsed } from './calls/integrations.ts'
import { largeRepliesAreRead } from './calls/large.ts'
import { largeRequestsPass } from './calls/large-requests.ts'
import { liesAreDoubted } from './calls/lies.ts'
import { chat, longStream, openStalled, stallMs, streamsAreBounded } from './calls/load.ts'
import { namedModelsAreAllowed } from './calls/named-models.ts'
import { ownPricesHold } from './calls/own-prices.ts'
import { errorsAreTold, impatience } from './calls/provider-errors.ts'
import { theUnknownPasses } from './calls/unknown.ts'
import { unpricedIsNeverFree } from './calls/unpriced.ts'
import { unpricedHoldsOnEveryPath } from './calls/unpriced-paths.ts'
import { startScriptedProvider } from './scripted-provider.ts'
import { sharedGateway } from './shared-gateway.ts'

// Everything that happens to a call once it is let in, at one gateway.
const provider = await startScriptedProvider()
after(() => provider.close())
const credentials = testFolder({ after }, 'credentials')
const gateway = await sharedGateway({
  ...credentialsEnv(credentials),
  GATEWAY_CLIENT_STALL_MS: String(stallMs),
})
const impatient = await sharedGateway(impatience)
// Nobody else has settings like these.
atFileEnd(async () => {
  await Promise.all([gateway, impatient].map(each => each.stack.services.gateway.stop()))
})
const scripted = await gateway.newProject({
  settings: { on_client_abort: { openai: 'cancel', anthropic: 'cancel' } },
  integrations: {
    openai: { base_url: `${provider.url}/v1`, api_key: 'sk-scripted' },
    anthropic: { base_url: provider.url, api_key: 'sk-ant-scripted' },
  },
})
const cancel = await gateway.newProject({ settings: { on_client_abort: { openai: 'cancel', anthropic: 'cancel' } } })
const drain = await gateway.newProject({ settings: { on_client_abort: { openai: 'drain', anthropic: 'drain' } } })
// Opened now: it takes its time to be let go.
const stalled = await openStalled(gateway, scripted.apiKey, { ...chat, model: 'gpt-4o' }, provider.add(longStream))

bytesPassUntouched(gateway, provider, scripted)
integrationsAreUsed(gateway, provider, credentials)
abortsAreSettled(gateway, { cancel, drain })
cutsAreClean(gateway)
errorsAreTold(gateway, impatient, provider, scripted)
liesAreDoubted(gateway)
theUnknownPasses(gateway, provider, scripted)
largeRepliesAreRead(gateway, provider, scripted)
largeRequestsPass(gateway)
unpricedIsNeverFree(gateway, provider)
unpricedHoldsOnEveryPath(gateway, provider)
ownPricesHold(gateway)
namedModelsAreAllowed(gateway)
streamsAreBounded(gateway, provider, scripted, stalled)
