import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { ConfigError, ConfigReader } from './config-reader.ts'

test('an origin is read from a URL, and what is none is told with all that is wrong', () => {
  const reader = new ConfigReader({ GOOD: 'https://sluice.example.com:8443/below?x', BAD: 'sluice' })
  assert.equal(reader.optionalOrigin('GOOD'), 'https://sluice.example.com:8443')
  assert.equal(reader.optionalOrigin('MISSING'), undefined)
  assert.equal(reader.optionalOrigin('BAD'), undefined)
  reader.integer('NUMBER', 5, { min: 1 })
  assert.throws(
    () => reader.check(),
    (error: unknown) => error instanceof ConfigError && /BAD is not a URL/.test(error.message),
  )
})

test('a program whose configuration is wrong ends with every problem of it, and no stack', () => {
  const module = new URL('config-reader.ts', import.meta.url).href
  const program = `
    import { ConfigReader, readOrEnd } from ${JSON.stringify(module)}
    readOrEnd(env => {
      const reader = new ConfigReader(env)
      reader.integer('PORT', 5)
      reader.string('NAME')
      reader.check()
    }, process.env)
    console.log('it goes on')
  `
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    env: { PORT: 'many' },
    encoding: 'utf8',
  })
  assert.equal(status, 1)
  assert.equal(stdout, '')
  assert.match(stderr, /^ConfigError: configuration:\n {2}PORT=many is not an integer .*\n {2}NAME is not set\n$/)
})
