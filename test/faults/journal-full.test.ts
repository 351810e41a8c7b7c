import { journalFull } from './journal-full.ts'
import { testScenario } from './small-scenario.ts'

testScenario(journalFull)
