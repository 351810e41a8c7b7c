import { slowReaders } from './slow-readers.ts'
import { testScenario } from './small-scenario.ts'

testScenario(slowReaders)
