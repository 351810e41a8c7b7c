import { gapFound } from './gap-found.ts'
import { testScenario } from './small-scenario.ts'

testScenario(gapFound)
