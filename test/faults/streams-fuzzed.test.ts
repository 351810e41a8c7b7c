import { testScenario } from './small-scenario.ts'
import { streamsFuzzed } from './streams-fuzzed.ts'

testScenario(streamsFuzzed)
