import { postgresKilled } from './postgres-killed.ts'
import { testScenario } from './small-scenario.ts'

testScenario(postgresKilled)
