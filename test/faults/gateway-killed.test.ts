import { gatewayKilled } from './gateway-killed.ts'
import { testScenario } from './small-scenario.ts'

testScenario(gatewayKilled)
