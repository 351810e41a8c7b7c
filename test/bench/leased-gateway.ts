import type { NatsConnection } from '@nats-io/transport-node'
import { LeaseAnswer, LeaseAsk, LeaseHeartbeat, LeaseRecall, LeaseReceipt, LeaseReport } from '@sluice/contracts'
import { type OpenAsk, WaitingLine, Wallet } from '@sluice/leases'

/** The money of one gateway, without the gateway: the real wallet and line, talking to real homes. */
export class LeasedGateway {
  readonly wallet: Wallet
  readonly line: WaitingLine
  readonly #nats: NatsConnection
  readonly #delayMs: number
  readonly #sent = new Set<OpenAsk>()
  readonly #reporting = new Set<number>()
  readonly #timers: NodeJS.Timeout[]
  readonly #recalls: { unsubscribe: () => void }

  /** @param delayMs that each message takes longer, to and fro */
  constructor(nats: NatsConnection, gatewayId: string, delayMs: number) {
    this.#nats = nats
    this.#delayMs = delayMs
    this.wallet = new Wallet({ gatewayId, epoch: 1 })
    this.line = new WaitingLine(this.wallet, { send: ask => this.send(ask) })
    this.#recalls = nats.subscribe(LeaseRecall.subject(gatewayId), {
      callback: (_, message) => {
        this.wallet.recall(LeaseRecall.decode(message.data).lease_ids)
        this.#report()
      },
    })
    let wholeAtS = 0
    this.#timers = [
      setInterval(() => this.#tick(), 100),
      setInterval(() => {
        this.wallet.returnIdle(Date.now())
        this.#beat(wholeAtS++ % 30 === 0)
      }, 1_000),
    ]
  }

  #tick(): void {
    const nowMs = Date.now()
    this.line.poll(nowMs)
    this.#report()
    for (const ask of this.wallet.openAsks) if (nowMs - ask.sentAtMs >= 500 && !this.#sent.has(ask)) this.send(ask)
  }

  async #request(subject: string, body: string): Promise<Uint8Array> {
    await new Promise(resolve => setTimeout(resolve, this.#delayMs))
    return (await this.#nats.request(subject, body, { timeout: 2_000 })).data
  }

  send(ask: OpenAsk): void {
    ask.sentAtMs = Date.now()
    this.#sent.add(ask)
    this.#request(LeaseAsk.subject(ask.home), LeaseAsk.encode(ask.message))
      .then(data => {
        const answer = LeaseAnswer.decode(data)
        this.wallet.answer(answer, Date.now())
        this.line.answered(answer, Date.now())
      })
      .catch(() => {})
      .finally(() => this.#sent.delete(ask))
  }

  #report(): void {
    for (const { home, message } of this.wallet.reports(Date.now())) {
      if (this.#reporting.has(home)) continue
      this.#reporting.add(home)
      this.#request(LeaseReport.subject(home), LeaseReport.encode(message))
        .then(data => this.wallet.reported(home, message, LeaseReceipt.decode(data)))
        .catch(() => {})
        .finally(() => this.#reporting.delete(home))
    }
  }

  #beat(isWhole: boolean): void {
    const sentAtMs = Date.now()
    for (const { home, messages } of this.wallet.heartbeats(sentAtMs, isWhole))
      for (const message of messages)
        this.#request(LeaseHeartbeat.subject(home), LeaseHeartbeat.encode(message))
          .then(data => this.wallet.renewed(home, sentAtMs, LeaseReceipt.decode(data)))
          .catch(() => {})
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer)
    this.#recalls.unsubscribe()
  }
}
