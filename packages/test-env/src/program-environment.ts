/**
 * What a program of this repository has of a test's environment, whatever else it is given: where programs are found, and what
 * has been compiled before, which is more than half of what it takes to start one.
 */
export const programEnvironment: Readonly<Record<string, string>> = Object.fromEntries(
  ['PATH', 'NODE_COMPILE_CACHE'].flatMap(name => {
    const value = process.env[name]
    return value === undefined ? [] : [[name, value]]
  }),
)
