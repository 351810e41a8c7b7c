import { journalFailing, journalFull } from './journal-full.ts'
import { testScenario } from './small-scenario.ts'

testScenario(journalFull)
testScenario(journalFailing)
