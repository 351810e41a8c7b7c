import type { Logger } from '@sluice/runtime'
import type { AppliedBatch } from './batch-store.ts'
import { type AskCommand, type Command, weightOf } from './command.ts'
import { findsEnough } from './decide-batch.ts'
import type { OpenLease } from './home-store.ts'

/** What is more than this waits in vain: its gateway asks again. */
const mostWaiting = 2_000
/** Commands that share one transaction, and pools and leases that they name. */
const mostTogether = 256
const mostNamed = 20_000
/** How long an ask waits for money that was called back. */
const recallMs = 150

export interface HomeQueueDeps {
  /** Commits commands. Undefined: the home is another's. */
  apply: (commands: readonly Command[]) => Promise<AppliedBatch | undefined>
  /** Says that a command fails for what is in it. */
  isRefusal: (error: unknown) => boolean
  recall: (leases: readonly OpenLease[]) => void
  /** After each commit, before the answers. */
  onApplied: (batch: AppliedBatch) => void
  onDropped: (reason: 'full' | 'refused') => void
  /** The home is another's. */
  onLost: () => void
  log: Logger
}

/** The commands of one home, in order: what waits while a transaction runs shares the next one. */
export class HomeQueue {
  readonly #deps: HomeQueueDeps
  readonly #waiting: Command[] = []
  readonly #recalled = new Map<AskCommand, NodeJS.Timeout>()
  #running: Promise<void> | undefined
  #isClosed = false

  constructor(deps: HomeQueueDeps) {
    this.#deps = deps
  }

  push(command: Command): void {
    if (this.#isClosed) return
    if (this.#waiting.length >= mostWaiting) {
      this.#deps.onDropped('full')
      return
    }
    this.#waiting.push(command)
    this.#running ??= this.#run()
  }

  /** Ends what runs; what waits is left to whoever owns the home next. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#waiting.length = 0
    for (const timer of this.#recalled.values()) clearTimeout(timer)
    this.#recalled.clear()
    await this.#running
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) await this.#applyTogether(this.#waiting.splice(0, this.#together()))
    this.#running = undefined
  }

  /** How many of those that wait share the next transaction; one at least. */
  #together(): number {
    let named = 0
    let count = 0
    for (const command of this.#waiting) {
      named += weightOf(command)
      if (count > 0 && (count === mostTogether || named > mostNamed)) break
      count++
    }
    return count
  }

  async #applyTogether(commands: readonly Command[]): Promise<void> {
    const { apply, isRefusal, onApplied, onDropped, onLost, log } = this.#deps
    try {
      const batch = await apply(commands)
      if (!batch) {
        onLost()
        return
      }
      onApplied(batch)
      for (const answer of batch.answers) answer()
      for (const { command, leases } of batch.waiting) this.#recall(command, leases)
      for (const command of this.#recalled.keys()) if (findsEnough(batch.state, command.message)) this.#again(command)
    } catch (err) {
      if (!isRefusal(err)) {
        // Nothing is committed, and nobody is answered: all of them are said again.
        log.warn({ err, commands: commands.length }, 'leases not changed')
        return
      }
      const [only] = commands
      if (commands.length === 1 && only) {
        log.error({ err, kind: only.kind, gatewayId: only.message.gateway_id }, 'request about leases dropped')
        onDropped('refused')
        return
      }
      for (const command of commands) await this.#applyTogether([command])
    }
  }

  #recall(command: AskCommand, leases: readonly OpenLease[]): void {
    if (this.#isClosed) return
    this.#deps.recall(leases)
    const timer = setTimeout(() => this.#again(command), recallMs)
    this.#recalled.set(command, timer)
  }

  #again(command: AskCommand): void {
    clearTimeout(this.#recalled.get(command))
    if (this.#recalled.delete(command)) this.push({ ...command, recalled: true })
  }
}
