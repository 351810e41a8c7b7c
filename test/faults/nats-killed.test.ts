import { natsKilled } from './nats-killed.ts'
import { testScenario } from './small-scenario.ts'

testScenario(natsKilled)
