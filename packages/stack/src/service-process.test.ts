import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { startService } from './service-process.ts'

const imports = ["data:text/javascript,console.log('imported')"]
for (const [what, more, expected] of [
  ['runs from its bundle', {}, 'bundle'],
  ['that loads modules which change Node alone runs from its bundle, behind them', { imports }, 'imported\nbundle'],
  [
    'that loads modules before its program runs from its sources',
    { env: { NODE_OPTIONS: '--no-warnings' } },
    'sources',
  ],
  ['that is traced runs from its sources', { env: { OTEL_TRACES_EXPORTER: 'console' } }, 'sources'],
] as const)
  test(`a service ${what}`, async t => {
    const home = mkdtempSync(join(tmpdir(), 'service-'))
    mkdirSync(join(home, 'logs'))
    const says = (text: string) => ['--eval', `console.log('${text}')`]
    const plan = {
      name: 'simulator' as const,
      cwd: home,
      args: says('sources'),
      bundledArgs: says('bundle'),
      ...more,
      env: { PATH: process.env.PATH, ...('env' in more ? more.env : {}) },
      url: 'http://127.0.0.1:1',
      readyUrl: 'http://127.0.0.1:1/',
    }
    const service = await startService(plan, { home, restart: false, log: () => {} })
    t.after(async () => {
      await service.stop()
      rmSync(home, { recursive: true, force: true })
    })
    await assert.rejects(service.untilReady(), /ended while starting/)
    assert.equal(readFileSync(service.logFile, 'utf8').trim(), expected)
  })
