export interface ApplyInHalvesOptions<Item, Result> {
  /** Commits these items, or changes nothing and throws. */
  apply: (items: readonly Item[]) => Promise<Result>
  /** Whether what was thrown is the fault of an item's content, so that trying again can never help. */
  isRefusal: (error: unknown) => boolean
  /** The two halves of one item, such as a message of several events; undefined where it is a single thing. */
  split: (item: Item) => [Item, Item] | undefined
  /** What stands for a single item that was refused: its dead letter. Undefined: nothing is left to put aside. */
  bury: (item: Item, reason: string) => Item | undefined
}

/**
 * Applies items in order, all at once where nothing is wrong with them. What is refused for its content is halved down to
 * the single offending item, which is buried; everything else is applied. `apply` must know what it has applied before,
 * since a failure of another kind in between ends the whole, to be tried again.
 * @returns what each commit gave, in order
 * @throws what is no refusal, and the refusal of an item that cannot even be buried
 */
export async function applyInHalves<Item, Result>(
  items: readonly Item[],
  options: ApplyInHalvesOptions<Item, Result>,
): Promise<Result[]> {
  try {
    return [await options.apply(items)]
  } catch (error) {
    if (!options.isRefusal(error)) throw error
    const [only, ...others] = items
    if (only === undefined) throw error
    let halves: readonly (readonly Item[])[]
    if (others.length > 0) {
      const middle = items.length >> 1
      halves = [items.slice(0, middle), items.slice(middle)]
    } else {
      const parts = options.split(only)
      const buried = parts ? undefined : options.bury(only, refusalReason(error))
      if (parts) halves = parts.map(part => [part])
      else if (buried !== undefined) halves = [[buried]]
      else throw error
    }
    const results: Result[] = []
    for (const half of halves) results.push(...(await applyInHalves(half, options)))
    return results
  }
}

/** Names what refused and with which code, never the value: a store's message may quote it. */
export function refusalReason(error: unknown): string {
  if (!(error instanceof Error)) return 'refused'
  const { code, type } = error as { code?: unknown; type?: unknown }
  const names = [type, code].filter(name => typeof name === 'string' && /^[A-Z0-9_]{1,64}$/.test(name))
  if (names.length > 0) return `refused by the store: ${names.join(' ')}`
  return error.name === 'ContractError' ? error.message : `refused: ${error.name}`
}
