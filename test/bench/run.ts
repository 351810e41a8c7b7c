import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { makeCertificate } from './nginx.ts'
import { loadCore, pinTree, raiseFileLimit } from './processes.ts'
import { writeReport } from './report.ts'
import { ensureRequirements } from './requirements.ts'
import { runSections } from './sections.ts'
import { type Table, toMarkdown } from './table.ts'
import { startDirect, startTargets, type Target } from './targets.ts'

const usage = `npm run bench -- [--quick] [--only json,latency,burst,paced,memory,prompts,tls,sockets,keys,budgets,leased,budget-service,cuts]
  [--targets gateway,portkey] [--write] [--profile folder]
`

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    targets: { type: 'string', default: 'gateway,portkey' },
    profile: { type: 'string' },
  },
})
if (values.help) {
  process.stdout.write(usage)
  process.exit()
}
const list = (text: string) => text.split(',').filter(part => part !== '')

ensureRequirements()
raiseFileLimit()
// What we start, and the stores, inherit the core of the load.
pinTree(process.pid, loadCore)
const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'))
const targets: Target[] = []
const tables: Table[] = []
let failed = false
try {
  const tls = makeCertificate(folder)
  const { target: direct, mock } = await startDirect(folder, tls)
  targets.push(direct)
  const started = await startTargets(
    {
      folder,
      mock: mock.ports,
      tls,
      leased: ['budgets', 'leased'].some(name => list(values.only).includes(name)),
      ...(values.profile === undefined ? {} : { profileFolder: values.profile }),
    },
    direct,
    list(values.targets),
  )
  targets.splice(0, targets.length, ...started)
  const say = (line: string) => process.stderr.write(`· ${line}\n`)
  await runSections(targets, list(values.only), { quick: values.quick, folder, say }, tables)
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  const machine = `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'CPU'}, Node ${process.version}, commit ${commit}, load average ${loadavg()[0]?.toFixed(2)}`
  const text = `${machine}${values.quick ? ', --quick' : ''}\n\n${tables.map(toMarkdown).join('\n')}`
  process.stdout.write(text)
  if (values.write) writeReport(join(import.meta.dirname, 'README.md'), text)
} catch (error) {
  failed = true
  process.stdout.write(tables.map(toMarkdown).join('\n'))
  process.stderr.write(`${error instanceof Error ? error.message : error}\nLogs are in ${folder}\n`)
} finally {
  for (const target of targets.reverse()) await target.stop()
  if (!failed) rmSync(folder, { recursive: true, force: true })
  process.exitCode = failed ? 1 : 0
}
