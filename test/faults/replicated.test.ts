import { replicated } from './replicated.ts'
import { testScenario } from './small-scenario.ts'

testScenario(replicated)
