import { type ConfigReader, errorOf } from '@sluice/runtime'
import { errors } from './errors.ts'

/** What a project, or a member, may have so many of. */
export type Limited = keyof typeof limited

interface Limit {
  variable: string
  fallback: number
  /** Where what gateways have to know of it has no bound of its own: a message on the bus has one megabyte. */
  max?: number
  /** What one has too many of, and what to do. */
  words: string
}

const limited = {
  keys: {
    variable: 'ACCOUNTS_MAX_KEYS',
    fallback: 250_000,
    words: 'A project has at most %n keys. Revoke some that are not needed',
  },
  rooms: {
    variable: 'ACCOUNTS_MAX_ROOMS',
    fallback: 250_000,
    words: 'A project has at most %n open rooms. Close some that are not needed',
  },
  teams: {
    variable: 'ACCOUNTS_MAX_TEAMS',
    fallback: 2_000,
    max: 2_000,
    words: 'A project has at most %n open teams. Close some that are not needed',
  },
  members: {
    variable: 'ACCOUNTS_MAX_MEMBERS',
    fallback: 100_000,
    words: 'A project has at most %n people. Take out some who have left',
  },
  serviceAccounts: {
    variable: 'ACCOUNTS_MAX_SERVICE_ACCOUNTS',
    fallback: 20_000,
    words: 'A project has at most %n service accounts. Disable some that are not needed',
  },
  integrations: {
    variable: 'ACCOUNTS_MAX_INTEGRATIONS',
    fallback: 100,
    max: 500,
    words: 'A project has at most %n integrations. Delete some that are not needed',
  },
  projectsOfMember: {
    variable: 'ACCOUNTS_MAX_PROJECTS_OF_MEMBER',
    fallback: 1_000,
    max: 1_500,
    words: 'Somebody has roles of their own in at most %n projects. Make them an administrator of the account instead',
  },
} as const satisfies Record<string, Limit>

/** How many of each are allowed. */
export type LimitSizes = Readonly<Record<Limited, number>>

const kinds = Object.keys(limited) as Limited[]
const sizesBy = (sizeOf: (kind: Limited) => number): LimitSizes =>
  Object.fromEntries(kinds.map(kind => [kind, sizeOf(kind)])) as Record<Limited, number>

export const defaultLimits: LimitSizes = sizesBy(kind => limited[kind].fallback)

/** Limits as the operator sets them. */
export function readLimits(reader: ConfigReader): LimitSizes {
  return sizesBy(kind => {
    const { variable, fallback, max = 10_000_000 }: Limit = limited[kind]
    return reader.integer(variable, fallback, { min: 1, max })
  })
}

/** Of how many projects and members it is remembered that they are far from a limit. */
const maxRemembered = 10_000
/** Instances that may make things at the same time without one of them passing a limit. */
const instances = 10

/**
 * Says no to one more than is allowed. Counting a hundred thousand rows for each new one would make the last of them the
 * dearest: where there is much room, the next count is due when a tenth of it may be used up.
 */
export class Limits {
  readonly sizes: LimitSizes
  readonly #untilCount = new Map<string, number>()

  constructor(sizes: LimitSizes = defaultLimits) {
    this.sizes = sizes
  }

  /**
   * Requires room for one more.
   * @param ownerId the project or the member, locked
   * @param count how many there are
   * @throws AppError 409 that says the limit and what to do
   */
  async requireRoom(kind: Limited, ownerId: string, count: () => Promise<number>): Promise<void> {
    const name = `${kind} ${ownerId}`
    const left = this.#untilCount.get(name) ?? 0
    if (left > 0) {
      this.#untilCount.set(name, left - 1)
      return
    }
    this.#untilCount.delete(name)
    const size = this.sizes[kind]
    const free = size - (await count())
    const { words, variable }: Limit = limited[kind]
    if (free <= 0)
      throw errorOf(errors.limitReached, {
        message: `${words.replace('%n', String(size))}, or let the operator raise ${variable}.`,
      })
    const skipped = Math.floor(free / instances) - 1
    if (skipped <= 0) return
    if (this.#untilCount.size >= maxRemembered) this.#untilCount.clear()
    this.#untilCount.set(name, skipped)
  }
}
