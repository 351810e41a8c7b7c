import { clickhouseDown } from './clickhouse-down.ts'
import { testScenario } from './small-scenario.ts'

testScenario(clickhouseDown)
