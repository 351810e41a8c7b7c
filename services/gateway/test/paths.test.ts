import { freePathsCostNothing } from './paths/free.ts'
import { hostedToolsSettle } from './paths/hosted-tools.ts'
import { modelsAreListed } from './paths/models.ts'
import { referencesStayInTheirProject } from './paths/references.ts'
import { backgroundResponsesSettleOnce } from './paths/stored.ts'
import { textPathsSettle } from './paths/text.ts'
import { sharedGateway } from './shared-gateway.ts'

// The table of endpoints, path by path.
const gateway = await sharedGateway()
const project = await gateway.newProject()

textPathsSettle(gateway, project)
hostedToolsSettle(gateway)
modelsAreListed(gateway, project)
backgroundResponsesSettleOnce(gateway, project)
referencesStayInTheirProject(gateway)
freePathsCostNothing(gateway, project)
