import { readFileSync } from 'node:fs'
import { problemOfIpRange } from './ip-ranges.ts'

/** Thrown once with every problem of the configuration, one a line. */
export class ConfigError extends Error {
  override name = 'ConfigError'
}

/** Reads variables and collects what is wrong, so that an operator sees all problems at once. */
export class ConfigReader {
  readonly #env: NodeJS.ProcessEnv
  readonly #problems: string[] = []
  constructor(env: NodeJS.ProcessEnv) {
    this.#env = env
  }

  /** An empty variable counts as absent. */
  #read(name: string): string | undefined {
    const value = this.#env[name]
    return value === undefined || value === '' ? undefined : value
  }

  string(name: string): string
  string(name: string, fallback: string): string
  string(name: string, fallback?: string): string {
    const value = this.#read(name) ?? fallback
    if (value !== undefined) return value
    this.#problems.push(`${name} is not set`)
    return ''
  }

  optionalString(name: string): string | undefined {
    return this.#read(name)
  }

  integer(name: string, fallback: number, range: { min?: number; max?: number } = {}): number {
    const text = this.#read(name)
    if (text === undefined) return fallback
    const value = Number(text)
    const { min = 0, max = Number.MAX_SAFE_INTEGER } = range
    if (Number.isSafeInteger(value) && value >= min && value <= max) return value
    this.#problems.push(`${name}=${text} is not an integer from ${min} to ${max}`)
    return fallback
  }

  boolean(name: string, fallback = false): boolean {
    const text = this.#read(name)
    if (text === undefined) return fallback
    if (['1', 'true', 'yes'].includes(text)) return true
    if (['0', 'false', 'no'].includes(text)) return false
    this.#problems.push(`${name}=${text} is neither 1 nor 0`)
    return fallback
  }

  oneOf<const T extends string>(name: string, values: readonly T[], fallback: T): T {
    const text = this.#read(name)
    if (text === undefined) return fallback
    const found = values.find(value => value === text)
    if (found !== undefined) return found
    this.#problems.push(`${name}=${text} is none of ${values.join(', ')}`)
    return fallback
  }

  url(name: string, fallback?: string): string {
    const text = this.#read(name) ?? fallback
    if (text === undefined) {
      this.#problems.push(`${name} is not set`)
      return ''
    }
    if (URL.canParse(text)) return text
    this.#problems.push(`${name} is not a URL`)
    return ''
  }

  optionalUrl(name: string): string | undefined {
    return this.#read(name) === undefined ? undefined : this.url(name)
  }

  /** Of a URL, what paths are put behind. */
  optionalOrigin(name: string): string | undefined {
    const url = this.optionalUrl(name)
    return url === undefined || url === '' ? undefined : new URL(url).origin
  }

  /** The value of `name`, or the trimmed content of the file that `name_FILE` names. */
  secret(name: string): string | undefined {
    const value = this.#read(name)
    if (value !== undefined) return value
    const file = this.#read(`${name}_FILE`)
    if (file === undefined) return undefined
    try {
      return readFileSync(file, 'utf8').trim()
    } catch (error) {
      this.#problems.push(`${name}_FILE=${file} cannot be read (${(error as NodeJS.ErrnoException).code})`)
      return undefined
    }
  }

  /** Ranges of addresses (CIDR), with commas between. */
  ipRanges(name: string, fallback: readonly string[]): readonly string[] {
    const text = this.#read(name)
    if (text === undefined) return fallback
    const ranges = text
      .split(',')
      .map(range => range.trim())
      .filter(range => range !== '')
    for (const range of ranges) {
      const problem = problemOfIpRange(range)
      if (problem !== undefined) this.#problems.push(`${name}: "${range}" ${problem}`)
    }
    return ranges
  }

  problem(text: string): void {
    this.#problems.push(text)
  }

  /** @throws ConfigError with every problem found so far */
  check(): void {
    if (this.#problems.length > 0)
      throw new ConfigError(`configuration:\n${this.#problems.map(line => `  ${line}`).join('\n')}`)
  }
}

/** Reads the configuration of a program, which ends where that is wrong: the problems are printed, and no stack. */
export function readOrEnd<T>(read: (env: NodeJS.ProcessEnv) => T, env: NodeJS.ProcessEnv): T {
  try {
    return read(env)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    process.stderr.write(`${error.name}: ${error.message}\n`)
    process.exit(1)
  }
}

/** What every service's configuration has. */
export interface ServiceConfig {
  host: string
  port: number
  operatorPort: number
  logLevel: string
  /** Ranges of addresses of proxies that are believed when they say where a client is. */
  trustedProxies: readonly string[]
  nats: { url: string; user: string | undefined; password: string | undefined }
}

/** Of a gateway, as the services behind it see it where all run on one machine. */
export const ownMachine: readonly string[] = ['127.0.0.0/8', '::1']

/**
 * Reads the variables common to all services; `prefix` is the service's name in capitals.
 * @param trustedProxies who is believed where the variable names nobody
 */
export function readServiceConfig(
  reader: ConfigReader,
  prefix: string,
  defaultPort: number,
  trustedProxies: readonly string[] = ownMachine,
): ServiceConfig {
  return {
    host: reader.string(`${prefix}_HOST`, '127.0.0.1'),
    port: reader.integer(`${prefix}_PORT`, defaultPort, { max: 65535 }),
    operatorPort: reader.integer(`${prefix}_OPERATOR_PORT`, defaultPort + 1000, { max: 65535 }),
    logLevel: reader.oneOf('SLUICE_LOG_LEVEL', ['trace', 'debug', 'info', 'warn', 'error', 'silent'], 'info'),
    trustedProxies: reader.ipRanges(`${prefix}_TRUSTED_PROXIES`, trustedProxies),
    nats: {
      url: reader.string('NATS_URL', 'nats://127.0.0.1:4222'),
      user: reader.optionalString('NATS_USER'),
      password: reader.secret('NATS_PASSWORD'),
    },
  }
}
