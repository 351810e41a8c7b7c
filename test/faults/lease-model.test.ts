import { leaseModel } from './lease-model.ts'
import { testScenario } from './small-scenario.ts'

testScenario(leaseModel)
