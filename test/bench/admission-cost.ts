/**
 * What one core spends on the money of one call that meets eight hard budgets, all of it leased: `node test/bench/admission-cost.ts
 * [calls]`. Prints CPU microseconds a call as JSON.
 */
import { createWindowFinder, PoolSet, Wallet, type WalletPool } from '@sluice/leases'

const calls = Number(process.argv[2] ?? 200_000)
const windows = ['hour', 'day', 'month', 'total', 'month', 'day', 'month', 'day'] as const
const want = 3_000_000
const nowMs = Date.UTC(2026, 5, 15)

const findWindow = createWindowFinder()
const wallet = new Wallet({ gatewayId: 'gw_bench', epoch: 1, ttlMs: Number.MAX_SAFE_INTEGER })

/** As the first of many calls finds them: by budget, copy and the window of now. */
function findPools(): WalletPool[] {
  return windows.map((kind, at) => {
    const { startMs, endMs } = findWindow(kind, 'Europe/Berlin', nowMs)
    return wallet.pool({
      budgetId: `bud_0198c6f0-7c1e-7a52-9d3e-00000000000${at}`,
      copy: at < 6 ? '' : 'mem_0198c6f0-7c1e-7a52-9d3e-000000000000',
      windowStartMs: startMs,
      windowEndMs: endMs,
      home: 3,
      isConcurrent: false,
    })
  })
}

/** Leases that last for all calls, several for each pool, as a gateway has them. */
function lease(pools: readonly WalletPool[]): void {
  const needs = pools.map(pool => ({ pool, want: want * calls, need: 0 }))
  for (let round = 0; round < 3; round++) {
    const { asks } = wallet.ask(needs, nowMs, () => 0)
    if (asks.length === 0) throw new Error('nothing was asked')
    for (const { message } of asks) {
      const { seq, items } = message
      const grants = items.map((item, at) => ({
        lease_id: `gw_bench-1-${seq}-${at}`,
        amount: item.want,
        left: 10 ** 15,
      }))
      wallet.answer({ seq, term: 1, grants }, nowMs)
    }
  }
}

/** @returns CPU microseconds a call */
function measure(work: (call: number) => void): number {
  for (let call = 0; call < calls / 10; call++) work(call)
  const before = process.cpuUsage()
  for (let call = 0; call < calls; call++) work(call)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / calls
}

const pools = findPools()
lease(pools)
// Calls that follow one another meet the same pools: a gateway finds them once, and then holds of all of them together.
const set = new PoolSet(pools)
const wants = pools.map(() => want)
const used = pools.map(() => 1_000_000)

function hold(call: number) {
  const held = wallet.holdOfOldest(`attempt-${call}`, set, wants, nowMs)
  if (!held) throw new Error('leases had too little')
  for (const _ of wallet.askAhead(held.pools, nowMs)) throw new Error('leases had too little')
  return held
}

const found = measure(() => void findPools())
const whole = measure(call => void wallet.settle(hold(call), used, false))
const held = measure(call => wallet.release(hold(call)))
process.stdout.write(`${JSON.stringify({ found, held, whole })}\n`)
