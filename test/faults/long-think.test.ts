import { longThink } from './long-think.ts'
import { testScenario } from './small-scenario.ts'

testScenario(longThink)
