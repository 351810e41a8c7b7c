import { pacedLive } from './paced-live.ts'
import { testScenario } from './small-scenario.ts'

testScenario(pacedLive)
