import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { GatewayStack } from './gateway-stack.ts'
import { mediaEndsCleanly } from './media/ends.ts'
import { mediaIsSettled } from './media/settled.ts'
import { uploadsAreSafe } from './media/uploads.ts'
import { startScriptedProvider } from './scripted-provider.ts'

// Sound and images, on one installation.
const spoolDir = mkdtempSync(join(tmpdir(), 'uploads-'))
after(() => rmSync(spoolDir, { recursive: true, force: true }))
const provider = await startScriptedProvider()
after(() => provider.close())
const gateway = await GatewayStack.start(
  { after },
  { services: ['accounts', 'billing', 'budget', 'gateway'], env: { GATEWAY_SPOOL_DIR: spoolDir } },
)
const drain = await gateway.newProject({ settings: { on_client_abort: { openai: 'drain' } } })
const cancel = await gateway.newProject({ settings: { on_client_abort: { openai: 'cancel' } } })
const scripted = await gateway.newProject({
  settings: { on_client_abort: { openai: 'cancel' } },
  integrations: { openai: { base_url: `${provider.url}/v1`, api_key: 'sk-scripted' } },
})

mediaIsSettled(gateway, { cancel, drain })
mediaEndsCleanly(gateway, provider, scripted)
uploadsAreSafe(gateway, spoolDir)
