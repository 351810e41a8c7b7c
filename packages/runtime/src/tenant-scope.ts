import { AsyncLocalStorage } from 'node:async_hooks'

/** For whom work is done: databases that keep tenants apart show it their rows alone, and take no others. */
export type TenantScope =
  | { system: true }
  | {
      system?: false
      accountId: string
      projectId?: string
      /** Sees what belongs to the installation beside that. */
      operator?: boolean
    }

const scopes = new AsyncLocalStorage<TenantScope>()

/** Does work, and whatever it awaits, for somebody. Work that nobody has said this of sees no tenant's rows. */
export function withinScope<Result>(scope: TenantScope, work: () => Result): Result {
  return scopes.run(scope, work)
}

/** For whom the work under way is done; undefined: nobody. */
export function currentScope(): TenantScope | undefined {
  return scopes.getStore()
}
