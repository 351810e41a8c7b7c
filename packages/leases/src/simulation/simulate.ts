import type { LeaseReport, LeaseTotals } from '@sluice/contracts'
import { leftOf, poolKey, spentOf } from '../pool.ts'
import type { PoolName } from '../wallet-pool.ts'
import { type HeldLease, homeOf, SimulatedGateway } from './simulated-gateway.ts'
import { HomeDatabase, SimulatedHome } from './simulated-home.ts'
import { fair, World } from './world.ts'

export interface SimulationOptions {
  seed: number
  gateways: number
  /** Budgets that each call meets; each has a home of its own. */
  budgets: number
  limit: number
  /** Most that a call can use. */
  largestCall: number
  calls: number
  /** Over how long the calls come and things break. */
  lastsMs: number
  gatewayKills: number
  homeKills: number
  /** Gateways that nobody hears for a while, some of them for longer than silence takes. */
  cuts: number
}

export interface Simulated {
  violations: string[]
  figures: {
    calls: number
    local: number
    refused: Record<string, number>
    charged: number
    settled: number
    unresolved: number
    unused: number
  }
}

/** The pool of a name that has no more of it. */
function nameOf(budgetId: string, copy: string, windowStartMs: number): PoolName {
  return { budgetId, copy, windowStartMs, windowEndMs: undefined, home: homeOf(budgetId), isConcurrent: false }
}

/** What a poller tells the home of a budget of a batch that has ended. */
function endOf(budgetId: string, cost: number, leases: readonly HeldLease[], nowMs: number) {
  let rest = cost
  const own = leases.filter(({ pool }) => pool.budgetId === budgetId)
  const totals = own.map(({ leaseId, pool, granted }, index): LeaseTotals => {
    const settled = index === own.length - 1 ? rest : Math.min(rest, granted)
    rest -= settled
    return {
      lease_id: leaseId,
      budget_id: pool.budgetId,
      copy: pool.copy,
      window_start_ms: pool.windowStartMs,
      epoch: 1,
      granted,
      settled_total: settled,
      returned_total: Math.max(0, granted - settled),
      unresolved: [],
      version: nowMs,
      done: true,
    }
  })
  const report = { gateway_id: own[0]?.holder ?? '', epoch: 1, at_ms: nowMs, leases: totals }
  return { home: homeOf(budgetId), report, answers: 0 }
}

const silentMs = 60_000
/** A gateway whose clock is further off has no windows. */
const mostAheadMs = 4_900
/** Longer than any pool of these runs is kept without use. */
const restMs = 11 * 60_000

/**
 * A whole life of a few hard budgets: gateways with calls, budget services that take turns, a bad network, and what breaks. In the
 * middle of it the window ends. Then everything is mended and comes to rest. Every promise is checked when it could be broken.
 */
export function simulate(options: SimulationOptions): Simulated {
  const { budgets: count, limit, lastsMs } = options
  const world = new World(options.seed)
  const rolledAtMs = Math.floor(lastsMs / 2)
  const windows = [
    { windowStartMs: 0, windowEndMs: rolledAtMs },
    { windowStartMs: rolledAtMs, windowEndMs: undefined },
  ]
  const budgetIds = Array.from({ length: count }, (_, at) => `bud_${at}`)
  const charged = new Map<string, number>()
  /** By pool, the highest limit that it has had. */
  const highest = new Map<string, number>()
  const beyondHolds = new Map<string, number>()
  const recorded = new Map<string, { settled: number; unresolved: number }>()
  const refused: Record<string, number> = {}
  let local = 0
  let held = 0
  const gateways: SimulatedGateway[] = []

  const databases = budgetIds.map(() => new HomeDatabase())
  for (const budgetId of budgetIds)
    for (const { windowStartMs } of windows) {
      const key = poolKey(budgetId, '', windowStartMs)
      databases[homeOf(budgetId)]?.state.pools.set(key, {
        key,
        budgetId,
        copy: '',
        windowStartMs,
        limit,
        unleased: 0,
        settled: 0,
        unresolved: 0,
        outstanding: 0,
      })
      charged.set(key, 0)
      highest.set(key, limit)
      recorded.set(key, { settled: 0, unresolved: 0 })
    }
  const homes = databases.map((database, home) =>
    ['a', 'b'].map(
      instance =>
        new SimulatedHome(`home-${home}-${instance}`, world, database, {
          silentMs,
          isOpen: ({ windowStartMs }, nowMs) =>
            windowStartMs === 0 ? nowMs < rolledAtMs + 5_000 : nowMs >= rolledAtMs - 5_000,
          recall: (gatewayId, leaseIds, from) => {
            const gateway = gateways.find(each => each.gatewayId === gatewayId)
            if (gateway) world.send(from, gatewayId, () => gateway.recall(leaseIds))
          },
        }),
    ),
  )

  const books = {
    charge: (pools: readonly PoolName[], amount: number, beyond = 0) => {
      for (const { budgetId, copy, windowStartMs } of pools) {
        const key = poolKey(budgetId, copy, windowStartMs)
        const sum = (charged.get(key) ?? 0) + amount
        charged.set(key, sum)
        const mostHeld = highest.get(key) ?? limit
        const most = mostHeld + (beyondHolds.get(key) ?? 0) + beyond
        beyondHolds.set(key, most - mostHeld)
        if (sum > most) world.violate(`the provider has charged ${sum} of ${mostHeld} to ${key}`)
      }
    },
    settle: (pools: readonly PoolName[], settled: number, unresolved: number) => {
      for (const { budgetId, copy, windowStartMs } of pools) {
        const sums = recorded.get(poolKey(budgetId, copy, windowStartMs))
        if (!sums) continue
        sums.settled += settled
        sums.unresolved += unresolved
      }
    },
    begun: (pools: readonly PoolName[], cost: number, leases: readonly HeldLease[]) => {
      const endsMs = world.between(100, 40_000)
      const charge = (part: number) => {
        for (const { budgetId, copy, windowStartMs } of pools)
          books.charge([nameOf(budgetId, copy, windowStartMs)], part)
      }
      const first = world.between(0, cost)
      world.clock.after(world.between(1, endsMs), () => charge(first))
      world.clock.after(endsMs, () => {
        charge(cost - first)
        books.settle(pools, cost, 0)
        for (const { budgetId } of pools) pollers.push(endOf(budgetId, cost, leases, world.nowMs))
      })
    },
    refused: (reason: string) => {
      refused[reason] = (refused[reason] ?? 0) + 1
    },
    held: (isLocal: boolean) => {
      held++
      if (isLocal) local++
    },
  }
  const nextOf = (pool: PoolName): PoolName | undefined =>
    pool.windowEndMs === undefined
      ? undefined
      : {
          budgetId: pool.budgetId,
          copy: '',
          windowStartMs: rolledAtMs,
          windowEndMs: undefined,
          home: pool.home,
          isConcurrent: false,
        }
  // Each of two pollers tells what became of a batch until it is answered, by whichever gateways are there.
  const pollers: { home: number; report: LeaseReport; answers: number }[] = []
  const tellEnds = (): void => {
    world.clock.after(500, tellEnds)
    for (const ended of pollers) {
      if (ended.answers >= 2) continue
      const gateway = gateways[world.between(0, gateways.length - 1)]
      if (gateway?.isUp) gateway.tellHolder(ended.home, ended.report, () => ended.answers++)
    }
  }
  tellEnds()
  // In some lives alone: those of the others stay what they were.
  const isChangeable = options.seed % 7 === 0
  for (let at = 0; at < options.gateways; at++) {
    const aheadMs = isChangeable ? world.between(-mostAheadMs, mostAheadMs) : 0
    gateways.push(new SimulatedGateway(`gw${at}`, world, homes, books, nextOf, aheadMs))
  }

  const windowAt = (nowMs: number) =>
    (nowMs < rolledAtMs ? windows[0] : windows[1]) ?? { windowStartMs: 0, windowEndMs: undefined }
  const poolsAt = (nowMs: number): PoolName[] =>
    budgetIds.map(budgetId => ({
      budgetId,
      copy: '',
      ...windowAt(nowMs),
      home: homeOf(budgetId),
      isConcurrent: false,
    }))

  world.weather = {
    loss: world.between(0, 20) / 100,
    doubled: world.between(0, 20) / 100,
    slowestMs: world.chance(0.7) ? world.between(5, 200) : world.between(200, 3_000),
  }
  // In some lives alone: those of the others stay what they were.
  const somePace = options.seed % 7 === 2
  const drawKind = () => {
    const isBatch = world.chance(0.1)
    return { isBatch, isPaced: somePace && !isBatch && world.chance(0.5) }
  }
  for (let at = 0; at < options.calls; at++)
    world.clock.after(world.between(0, lastsMs), () => {
      const bound = world.between(1, options.largestCall)
      const gateway = gateways[world.between(0, gateways.length - 1)]
      gateway?.call({
        pools: poolsAt(gateway.nowMs),
        bound,
        need: world.between(1, bound),
        cost: world.between(0, bound),
        lastsMs: world.between(1, 8_000),
        isUnmeasured: world.chance(0.02),
        ...drawKind(),
      })
    })
  let newGateways = 0
  const kill = (gateway: SimulatedGateway | undefined): void => {
    if (!gateway?.isUp) return
    gateway.kill()
    const sibling = gateways.find(each => each.isUp && each !== gateway)
    const isAdopted = sibling !== undefined && world.chance(0.5)
    world.clock.after(world.chance(0.5) ? world.between(50, 1_000) : world.between(1_000, 20_000), () => {
      if (isAdopted && sibling.isUp) gateway.adoptedBy(sibling, `gn${newGateways++}`)
      else gateway.restart()
      // Some machines die again before anybody has heard of them.
      if (world.nowMs < lastsMs && world.chance(0.3)) world.clock.after(world.between(50, 2_000), () => kill(gateway))
    })
  }
  for (let at = 0; at < options.gatewayKills; at++)
    world.clock.after(world.between(0, lastsMs), () => kill(gateways[world.between(0, gateways.length - 1)]))
  for (let at = 0; at < options.homeKills; at++)
    world.clock.after(world.between(0, lastsMs), () => {
      const instances = homes[world.between(0, homes.length - 1)]
      const instance = instances?.[world.between(0, 1)]
      if (!instance?.isUp) return
      instance.crash()
      world.clock.after(world.between(100, 10_000), () => {
        instance.isUp = true
      })
    })
  const changeLimit = () => {
    const budgetId = budgetIds[world.between(0, budgetIds.length - 1)] ?? ''
    const { windowStartMs } = windowAt(world.nowMs)
    const key = poolKey(budgetId, '', windowStartMs)
    const next = world.between(1, 2 * limit)
    highest.set(key, Math.max(next, highest.get(key) ?? 0))
    for (const instance of homes[homeOf(budgetId)] ?? []) instance.changeLimit(key, next)
  }
  for (let at = isChangeable ? world.between(1, 8) : 0; at > 0; at--)
    world.clock.after(world.between(0, lastsMs), changeLimit)
  for (let at = 0; at < options.cuts; at++)
    world.clock.after(world.between(0, lastsMs), () => {
      const gateway = gateways[world.between(0, gateways.length - 1)]
      if (!gateway) return
      const { gatewayId } = gateway
      world.cutOff.add(gatewayId)
      world.clock.after(world.between(1_000, world.chance(0.3) ? 2 * silentMs : 20_000), () =>
        world.cutOff.delete(gatewayId),
      )
    })

  world.clock.runUntil(lastsMs + 50_000)
  // Mended: everything comes to rest, and idle money goes back.
  world.weather = fair
  world.cutOff.clear()
  world.clock.runUntil(world.nowMs + restMs)

  let unused = 0
  const sums = { charged: 0, settled: 0, unresolved: 0 }
  for (const gateway of gateways) {
    if (gateway.running > 0) world.violate(`${gateway.gatewayId} still runs ${gateway.running} calls`)
    if (!gateway.isQuiet) world.violate(`${gateway.gatewayId} still asks`)
    if (gateway.wallet.totals().length > 0) world.violate(`${gateway.gatewayId} still has leases`)
  }
  for (const [home, { state }] of databases.entries())
    for (const pool of state.pools.values()) {
      if (homeOf(pool.budgetId) !== home) continue
      if (pool.outstanding !== 0) world.violate(`pool ${pool.key} at rest has ${pool.outstanding} outstanding`)
      const known = recorded.get(pool.key) ?? { settled: 0, unresolved: 0 }
      if (spentOf(pool) !== known.settled)
        world.violate(`pool ${pool.key} counts ${spentOf(pool)}, on record are ${known.settled}`)
      if (pool.unresolved !== known.unresolved)
        world.violate(`pool ${pool.key} has ${pool.unresolved} unresolved, on record are ${known.unresolved}`)
      sums.charged += charged.get(pool.key) ?? 0
      sums.settled += pool.settled
      sums.unresolved += pool.unresolved
      unused += leftOf(pool)
    }
  // What is not spent can be spent.
  const [gateway] = gateways
  const rests = poolsAt(world.nowMs).map(name => {
    const pool = databases[name.home]?.state.pools.get(poolKey(name.budgetId, '', name.windowStartMs))
    return pool ? pool.limit - spentOf(pool) - pool.unresolved : 0
  })
  const rest = Math.min(...rests)
  if (gateway && rest > 0) {
    const before = held
    gateway.call({
      pools: poolsAt(world.nowMs),
      bound: rest,
      need: rest,
      cost: rest,
      lastsMs: 10,
      isUnmeasured: false,
      isBatch: false,
      isPaced: false,
    })
    world.clock.runUntil(world.nowMs + 5_000)
    if (held === before) world.violate(`a call of ${rest} is refused although so much is left`)
  }
  return {
    violations: world.violations,
    figures: { calls: held, local, refused, ...sums, unused },
  }
}
