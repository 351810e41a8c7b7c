// Stands beside each bundle, as `<name>.mjs` beside `<name>.js`, and runs it as one script. What the first run that ends well has
// compiled of it is kept, and read by the later ones: Node's own compile cache holds no function that is compiled when it is first
// called, which in a bundle are nearly all. Each choice of flags compiles for itself.
const { Script, constants } = process.getBuiltinModule('node:vm')
const { readFileSync, renameSync, writeFileSync } = process.getBuiltinModule('node:fs')
const { createRequire } = process.getBuiltinModule('node:module')
const { cachedDataVersionTag } = process.getBuiltinModule('node:v8')

const filename = import.meta.filename.replace(/\.mjs$/, '.js')
const keptFile = `${filename}.${cachedDataVersionTag().toString(16)}`
const cachedData = readKept()
const script = new Script(readFileSync(filename, 'utf8'), {
  filename,
  ...(cachedData === undefined ? {} : { cachedData }),
  importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
})
// Who only looks at its configuration has hardly compiled anything.
if ((cachedData === undefined || script.cachedDataRejected) && !process.argv.includes('--check-config'))
  process.once('exit', code => {
    if (code === 0) keep(script.createCachedData())
  })
await script.runInThisContext()(createRequire(import.meta.url))

function readKept(): Buffer | undefined {
  try {
    return readFileSync(keptFile)
  } catch {
    return undefined
  }
}

function keep(compiled: Buffer): void {
  const draft = `${keptFile}.${process.pid}`
  try {
    writeFileSync(draft, compiled)
    renameSync(draft, keptFile)
  } catch {
    // The next one starts as this one did.
  }
}
