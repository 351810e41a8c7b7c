import { after } from 'node:test'
import { GatewayStack } from './gateway-stack.ts'
import { mediaIsSettled } from './media/settled.ts'

// Sound and images, on one installation.
const gateway = await GatewayStack.start({ after }, { services: ['accounts', 'billing', 'budget', 'gateway'] })
const drain = await gateway.newProject({ settings: { on_client_abort: { openai: 'drain' } } })
const cancel = await gateway.newProject({ settings: { on_client_abort: { openai: 'cancel' } } })

mediaIsSettled(gateway, { cancel, drain })
