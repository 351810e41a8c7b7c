import { natsDown } from './nats-down.ts'
import { testScenario } from './small-scenario.ts'

testScenario(natsDown)
