import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { ServiceProcess } from '@sluice/stack'
import { startAnother, startSibling } from './more-gateways.ts'
import { type Replacement, restartAsMutant } from './mutant.ts'
import type { RunStack, ScenarioRun } from './scenario.ts'

/** What can happen to a process. A pause is a partition too: nobody is heard, and what was under way goes on afterwards. */
export const faultKinds = ['budget killed', 'budget paused', 'gateway killed', 'gateway paused'] as const
export type FaultKind = (typeof faultKinds)[number]

interface Member {
  process: ServiceProcess
  /** Its journal can be taken over by others. */
  isAdoptable: boolean
  isBusy: boolean
}

/** Gateways and budget services of one installation, and what happens to them. */
export class BudgetCast {
  readonly #gateways: Member[] = []
  readonly #budgets: Member[] = []
  readonly #journals: string
  readonly #under = new Set<Promise<void>>()
  #lives = 0

  private constructor(stack: RunStack) {
    this.#journals = join(stack.home, 'adoptable-journals')
  }

  /** Two budget services, or as many as are wanted, and some gateways. @param mutant of every gateway */
  static async start(
    at: ScenarioRun,
    stack: RunStack,
    size: { gateways: number; budgetServices?: number; adoptable: boolean },
    mutant: readonly Replacement[],
  ): Promise<BudgetCast> {
    const cast = new BudgetCast(stack)
    const { gateway, budget } = stack.services
    if (mutant.length > 0) await restartAsMutant(gateway, mutant)
    const add = (members: Member[], process: ServiceProcess, isAdoptable = false) =>
      members.push({ process, isAdoptable, isBusy: false })
    add(cast.#gateways, gateway)
    add(cast.#budgets, budget)
    for (let number = 2; number <= (size.budgetServices ?? 2); number++)
      add(cast.#budgets, await startAnother(at, stack, budget, `budget-${number}`))
    for (let number = 2; number <= size.gateways; number++) {
      const journal = size.adoptable ? cast.#newJournal() : {}
      add(cast.#gateways, await startSibling(at, stack, `gateway-${number}`, journal), size.adoptable)
    }
    await Promise.all([...cast.#gateways, ...cast.#budgets].map(({ process }) => process.untilReady()))
    return cast
  }

  get origins(): string[] {
    return this.#gateways.map(({ process }) => process.plan.url)
  }

  get budgetServices(): number {
    return this.#budgets.length
  }

  #newJournal(): Record<string, string> {
    return {
      GATEWAY_JOURNAL_ROOT: this.#journals,
      GATEWAY_JOURNAL_DIR: join(this.#journals, `life-${++this.#lives}`),
    }
  }

  /** Begins a fault of one of those that none is happening to, if there is one. */
  begin(kind: FaultKind, random: () => number): void {
    const members = (kind.startsWith('budget') ? this.#budgets : this.#gateways).filter(({ isBusy }) => !isBusy)
    const member = members[Math.floor(random() * members.length)]
    if (!member) return
    member.isBusy = true
    const happening = (kind.endsWith('paused') ? this.#pause(member, random) : this.#kill(member, random)).finally(
      () => {
        member.isBusy = false
        this.#under.delete(happening)
      },
    )
    this.#under.add(happening)
  }

  /** Waits until everybody is back. */
  async untilMended(): Promise<void> {
    await Promise.all(this.#under)
  }

  async #kill({ process, isAdoptable }: Member, random: () => number): Promise<void> {
    await process.kill()
    await delay(random() * (random() < 0.5 ? 500 : 5_000))
    // What comes up is another gateway; whoever shares its folder takes the journal that was left.
    if (isAdoptable && random() < 0.5) Object.assign(process.plan.env, this.#newJournal())
    await process.start()
    await process.untilReady()
  }

  async #pause({ process: { pid } }: Member, random: () => number): Promise<void> {
    if (pid === undefined) return
    process.kill(pid, 'SIGSTOP')
    try {
      await delay(500 + random() * 4_500)
    } finally {
      process.kill(pid, 'SIGCONT')
    }
  }

  /** Ends those that were added. */
  async stop(): Promise<void> {
    await this.untilMended()
    await Promise.all([...this.#gateways.slice(1), ...this.#budgets.slice(1)].map(({ process }) => process.stop()))
  }
}
