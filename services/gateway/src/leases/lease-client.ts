import { setTimeout as delay } from 'node:timers/promises'
import type { HandedMoney, LeaseHeartbeat, LeaseReceipt } from '@sluice/contracts'
import { type OpenAsk, type PoolName, WaitingLine, Wallet } from '@sluice/leases'
import type { Logger } from '@sluice/runtime'
import { tellHomes } from './handed-money.ts'
import type { LeasePublisher } from './lease-publisher.ts'
import { SpareMoney } from './spare-money.ts'

export interface LeaseClientOptions {
  publisher: LeasePublisher
  gatewayId: string
  epoch: number
  /** Resolves when all that the journal has written survives a power cut. */
  synced: () => Promise<void>
  /** The pool of the window behind this one's; undefined: its budget has none, or is not hard any more. */
  nextOf: (pool: PoolName) => PoolName | undefined
  log: Logger
  /** A later run of this gateway is known: this one may hold nothing any more. */
  onFenced: () => void
}

const tickMs = 100
const askAgainMs = 500
const lastReportMs = 1_000
const beatMs = 1_000
const wholeListMs = 30_000
/** A home that has lost its memory is told at once, but no faster than this. */
const wholeListAgainMs = 1_000
/** Reports of holders that are under way to a home at a time. */
const holdersAtOnce = 16
/** What a home said of its clock longer ago says nothing any more. */
const clockHeardMs = 10_000

/**
 * The wallet of this run, and its talk with the homes of hard budgets: asks, reports, heartbeats, each repeated until it is
 * answered; recalls, answered at once. A call never waits for anything here but for money that it does not have.
 */
export class LeaseClient {
  readonly wallet: Wallet
  readonly line: WaitingLine
  /** What running calls hold and do not need yet. */
  readonly spare = new SpareMoney()
  readonly #options: LeaseClientOptions
  #isClosed = false
  /** By home: how far its owner's clock is off ours, and when that was heard. */
  readonly #clocks = new Map<number, { offMs: number; heardAtMs: number }>()
  readonly #reporting = new Set<number>()
  /** Asks of which a message is under way. */
  readonly #sent = new Set<OpenAsk>()
  readonly #timer: NodeJS.Timeout
  /** By home that says that it is recovering: the holders that it was told of since then, and when that began last. */
  readonly #recovering = new Map<number, { told: Set<string>; beganAtMs: number; isTelling: boolean }>()
  #holders: (() => Iterable<HandedMoney>) | undefined
  readonly #recalls: { close: () => Promise<void> }
  #beatAtMs = 0
  #wholeAtMs = 0
  #tidiedAtMs = 0

  constructor(options: LeaseClientOptions) {
    this.#options = options
    const { publisher, gatewayId, epoch, nextOf } = options
    this.wallet = new Wallet({ gatewayId, epoch, nextOf })
    this.line = new WaitingLine(this.wallet, {
      send: ask => this.send(ask),
      gather: pools => this.spare.giveBack(pools),
    })
    this.#recalls = publisher.onRecall(gatewayId, leaseIds => {
      this.spare.giveBack(this.wallet.poolsOf(leaseIds))
      this.wallet.recall(leaseIds)
      void this.#report()
    })
    this.#timer = setInterval(() => {
      try {
        this.#tick(Date.now())
      } catch (err) {
        // Whoever was let in and failed has failed alone: leases are to be told and renewed all the same.
        options.log.error({ err }, 'a call failed as its money came')
      }
    }, tickMs)
    this.#timer.unref()
  }

  #tick(nowMs: number): void {
    this.line.poll(nowMs)
    void this.#report()
    for (const ask of this.wallet.openAsks)
      if (nowMs - ask.sentAtMs >= askAgainMs && !this.#sent.has(ask)) this.send(ask)
    if (nowMs - this.#beatAtMs >= beatMs) this.#beat(nowMs, nowMs - this.#wholeAtMs >= wholeListMs)
    if (nowMs - this.#tidiedAtMs >= beatMs) {
      this.#tidiedAtMs = nowMs
      this.wallet.returnIdle(nowMs)
      for (const ask of this.wallet.askNextWindows(nowMs)) this.send(ask)
    }
  }

  /**
   * Sends an ask; what has no answer after a while is sent again by itself, one message at a time: of two that are under way one
   * may be refused and the other granted, and who has heard the refusal does not wait for the grant.
   */
  send(ask: OpenAsk): void {
    ask.sentAtMs = Date.now()
    this.#sent.add(ask)
    this.#options.publisher
      .ask(ask.home, ask.message)
      .then(answer => {
        const nowMs = Date.now()
        if (answer.refusal?.reason === 'fenced')
          this.#options.log.warn({ seq: answer.seq }, 'an ask for money is too old')
        this.wallet.answer(answer, nowMs)
        this.line.answered(answer, nowMs)
        // It waits for what we have of it: what it does not know, it must not grant again.
        if (answer.refusal?.reason === 'recovering') void this.#recover(ask.home, nowMs)
      })
      .catch(() => {})
      .finally(() => this.#sent.delete(ask))
  }

  /** Settlements and returns, once the records behind them are safe: a home must never know more than the journal. */
  async #report(): Promise<void> {
    for (const { home, message } of this.wallet.reports(Date.now())) {
      if (this.#reporting.has(home)) continue
      this.#reporting.add(home)
      try {
        await this.#options.synced()
        const receipt = await this.#options.publisher.report(home, message)
        this.#fence(receipt)
        this.wallet.reported(home, message, receipt)
      } catch {
        // It stays to be told.
      } finally {
        this.#reporting.delete(home)
      }
    }
  }

  /**
   * Says who has money that outlives its gateway: from then on homes that have lost their memory are told of all of it, and can grant
   * what is left.
   */
  tellOf(holders: () => Iterable<HandedMoney>): void {
    this.#holders = holders
  }

  /** Tells a home what every holder has, each once, and then what this run has. It says that it is recovering until that is enough. */
  async #recover(home: number, nowMs: number): Promise<void> {
    const about = this.#recovering.get(home) ?? { told: new Set<string>(), beganAtMs: 0, isTelling: false }
    this.#recovering.set(home, about)
    if (about.isTelling || nowMs - about.beganAtMs < wholeListAgainMs) return
    Object.assign(about, { beganAtMs: nowMs, isTelling: true })
    try {
      const areTold = await this.#tellHolders(home, about.told)
      const list = this.wallet.heartbeats(Date.now(), true).find(each => each.home === home)
      const messages = (list?.messages ?? []).map(({ whole, ...message }) => ({
        ...message,
        ...(whole && { whole: areTold ? { ...whole, holders: true as const } : whole }),
      }))
      await this.#beatHome(home, messages)
    } catch {
      // It says again that it is recovering.
    } finally {
      about.isTelling = false
    }
  }

  /** @returns false: nobody knows yet who they are */
  async #tellHolders(home: number, told: Set<string>): Promise<boolean> {
    if (!this.#holders) return false
    const untold = [...this.#holders()].flatMap(({ holder, leases }) => {
      const own = leases.filter(lease => lease.home === home)
      return own.length > 0 && !told.has(holder) ? [{ holder, leases: own }] : []
    })
    for (let at = 0; at < untold.length; at += holdersAtOnce)
      await Promise.all(
        untold.slice(at, at + holdersAtOnce).map(async held => {
          await tellHomes(this.#options.publisher, held, Date.now())
          told.add(held.holder)
        }),
      )
    return true
  }

  #beat(nowMs: number, isWhole: boolean): void {
    this.#beatAtMs = nowMs
    if (isWhole) this.#wholeAtMs = nowMs
    for (const { home, messages } of this.wallet.heartbeats(nowMs, isWhole, this.spare.byLease()))
      this.#beatHome(home, messages).catch(() => {})
  }

  async #beatHome(home: number, messages: readonly LeaseHeartbeat[]): Promise<void> {
    for (const message of messages) {
      const sentAtMs = Date.now()
      const receipt = await this.#options.publisher.heartbeat(home, message)
      const heardAtMs = Date.now()
      this.#clocks.set(home, { offMs: receipt.at_ms - Math.round((sentAtMs + heardAtMs) / 2), heardAtMs })
      this.#fence(receipt)
      this.wallet.renewed(home, message.at_ms, receipt)
      if (receipt.recovering) void this.#recover(home, heardAtMs)
      else this.#recovering.delete(home)
      // Told whole first; the next list says it again.
      if (receipt.unknown.length > 0) return
    }
  }

  /**
   * How far this machine's clock is off those of the homes, whichever is nearest: one budget service with a wrong clock is not
   * this gateway's fault. 0 while no home is heard of.
   */
  clockOffMs(nowMs: number): number {
    let nearest: number | undefined
    for (const { offMs, heardAtMs } of this.#clocks.values()) {
      if (nowMs - heardAtMs > clockHeardMs) continue
      if (nearest === undefined || Math.abs(offMs) < Math.abs(nearest)) nearest = offMs
    }
    return nearest ?? 0
  }

  #fence({ fenced }: LeaseReceipt): void {
    if (fenced && !this.#isClosed) this.#options.onFenced()
  }

  /** Gives back what no call holds, and ends. What is not answered is told by the next run's hello. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.wallet.recall(this.wallet.totals().map(({ lease_id: leaseId }) => leaseId))
    // A disk that takes nothing must not hold up the end.
    await Promise.race([this.#report(), delay(lastReportMs, undefined, { ref: false })])
    this.#isClosed = true
    await this.#recalls.close()
  }
}
