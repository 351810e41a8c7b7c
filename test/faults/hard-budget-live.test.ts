import { hardBudgetLive } from './hard-budget-live.ts'
import { testScenario } from './small-scenario.ts'

testScenario(hardBudgetLive)
