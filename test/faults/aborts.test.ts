import { aborts } from './aborts.ts'
import { testScenario } from './small-scenario.ts'

testScenario(aborts)
