import { powerLost, powerLostStrict } from './power-lost.ts'
import { testScenario } from './small-scenario.ts'

testScenario(powerLost)
testScenario(powerLostStrict)
