import { revokedEverywhere } from './revoked-everywhere.ts'
import { testScenario } from './small-scenario.ts'

testScenario(revokedEverywhere)
