import { ratingsAddUp } from './ratings-add-up.ts'
import { testScenario } from './small-scenario.ts'

testScenario(ratingsAddUp)
