import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { workedExamples } from './worked-examples.ts'
import { renderPage } from './worked-examples-page.ts'

writeFileSync(join(import.meta.dirname, '..', 'WORKED-EXAMPLES.md'), renderPage(workedExamples))
