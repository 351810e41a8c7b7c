import type { Logger } from '@sluice/runtime'
import type { AppliedBatch } from './batch-store.ts'
import type { AskCommand, Command } from './command.ts'
import { HomeQueue } from './home-queue.ts'
import type { OpenLease } from './home-store.ts'
import { IdleMoney } from './idle-money.ts'
import type { OwnedHome } from './ownership-store.ts'

type IsWorthRecall = (...args: Parameters<IdleMoney['isWorthRecall']>) => boolean

export interface ServeHomeDeps {
  apply: (
    owned: OwnedHome,
    commands: readonly Command[],
    isWorthRecall: IsWorthRecall,
  ) => Promise<AppliedBatch | undefined>
  /** Begins to bring what gateways say to this home. */
  listen: (home: number, push: (command: Command) => void) => { close: () => void }
  isRefusal: (error: unknown) => boolean
  recall: (owned: OwnedHome, leases: readonly OpenLease[]) => void
  onApplied: (batch: AppliedBatch) => void
  onAnswered: (command: AskCommand) => void
  onDropped: (reason: 'full' | 'refused') => void
  log: Logger
}

/** Serves one home until it is closed. @param drop called where it is found to be another's */
export function serveHome(deps: ServeHomeDeps, owned: OwnedHome, drop: () => void): { close: () => Promise<void> } {
  const idle = new IdleMoney()
  const isWorthRecall: IsWorthRecall = (...args) => idle.isWorthRecall(...args)
  const queue = new HomeQueue({
    apply: commands => deps.apply(owned, commands, isWorthRecall),
    isRefusal: deps.isRefusal,
    recall: leases => deps.recall(owned, leases),
    onApplied: deps.onApplied,
    onDropped: deps.onDropped,
    onLost: drop,
    log: deps.log,
  })
  const listening = deps.listen(owned.home, command => {
    if (command.kind === 'heartbeat') idle.hear(command.message, Date.now())
    queue.push(command.kind === 'ask' ? timed(command, deps.onAnswered) : command)
  })
  return {
    close: async () => {
      listening.close()
      await queue.close()
    },
  }
}

function timed(command: AskCommand, onAnswered: (command: AskCommand) => void): AskCommand {
  return {
    ...command,
    answer: answer => {
      command.answer(answer)
      onAnswered(command)
    },
  }
}
