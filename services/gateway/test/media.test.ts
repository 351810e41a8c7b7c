import { after } from 'node:test'
import { mediaEndsCleanly } from './media/ends.ts'
import { mediaIsSettled } from './media/settled.ts'
import { uploadsAreSafe } from './media/uploads.ts'
import { startScriptedProvider } from './scripted-provider.ts'
import { sharedGateway, spoolDir } from './shared-gateway.ts'

// Sound and images.
const provider = await startScriptedProvider()
after(() => provider.close())
const gateway = await sharedGateway()
const drain = await gateway.newProject({ settings: { on_client_abort: { openai: 'drain' } } })
const cancel = await gateway.newProject({ settings: { on_client_abort: { openai: 'cancel' } } })
const scripted = await gateway.newProject({
  settings: { on_client_abort: { openai: 'cancel' } },
  integrations: { openai: { base_url: `${provider.url}/v1`, api_key: 'sk-scripted' } },
})

mediaIsSettled(gateway, { cancel, drain })
mediaEndsCleanly(gateway, provider, scripted)
uploadsAreSafe(gateway, spoolDir)
