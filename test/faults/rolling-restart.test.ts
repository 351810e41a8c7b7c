import { rollingRestart } from './rolling-restart.ts'
import { testScenario } from './small-scenario.ts'

testScenario(rollingRestart)
