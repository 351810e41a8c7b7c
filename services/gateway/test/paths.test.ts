import { after } from 'node:test'
import { GatewayStack } from './gateway-stack.ts'
import { freePathsCostNothing } from './paths/free.ts'
import { hostedToolsSettle } from './paths/hosted-tools.ts'
import { modelsAreListed } from './paths/models.ts'
import { referencesStayInTheirProject } from './paths/references.ts'
import { backgroundResponsesSettleOnce } from './paths/stored.ts'
import { textPathsSettle } from './paths/text.ts'

// The table of endpoints, path by path, on one installation.
const gateway = await GatewayStack.start(
  { after },
  { services: ['accounts', 'billing', 'budget', 'gateway'], env: { GATEWAY_BACKGROUND_POLL_MS: '100' } },
)
const project = await gateway.newProject()

textPathsSettle(gateway, project)
hostedToolsSettle(gateway)
modelsAreListed(gateway, project)
backgroundResponsesSettleOnce(gateway, project)
referencesStayInTheirProject(gateway)
freePathsCostNothing(gateway, project)
