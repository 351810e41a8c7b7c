import { callsLocal } from './calls-local.ts'
import { testScenario } from './small-scenario.ts'

testScenario(callsLocal)
