import type { AddressInfo } from 'node:net'
import { BatchShop } from './batch-shop.ts'
import { Bill } from './bill.ts'
import { ContainerShelf } from './container-shelf.ts'
import { FileShelf } from './openai/file-shelf.ts'
import { ResponseShelf } from './openai/response-shelf.ts'
import { RequestLog } from './request-log.ts'
import { buildServer } from './server.ts'
import { ClientSecrets } from './sockets/client-secrets.ts'
import { RealtimeCalls } from './sockets/realtime-calls.ts'

export type { BillRecord, BillTotals, Ended } from './bill.ts'
export { Bill } from './bill.ts'
export type { BillLine, Metered } from './cost.ts'
export { SIM_PRICES } from './prices.ts'
export type { ShownRequest } from './request-log.ts'
export { hashCredential, RequestLog } from './request-log.ts'
export { countTokens } from './tokens.ts'

export interface SimulatorOptions {
  /** 0, the default, takes a free port. */
  readonly port?: number
  readonly host?: string
  readonly log?: (message: string, detail: { readonly [name: string]: unknown }) => void
}

export interface Simulator {
  /** Origin without a trailing slash; OpenAI clients add `/v1`, Anthropic clients take it as it is. */
  readonly url: string
  readonly port: number
  readonly bill: Bill
  readonly requests: RequestLog
  readonly close: () => Promise<void>
}

/** Starts a provider in both dialects on one port. Answers, usage and bill are a function of the request alone. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const bill = new Bill()
  const requests = new RequestLog()
  const batches = new BatchShop()
  const realtimeCalls = new RealtimeCalls()
  const responses = new ResponseShelf()
  const { server, endSockets } = buildServer({
    bill,
    requests,
    attempts: new Map(),
    batches,
    realtimeCalls,
    responses,
    containers: new ContainerShelf(),
    files: new FileShelf(),
    clientSecrets: new ClientSecrets(),
    log: options.log ?? (() => undefined),
  })
  const host = options.host ?? '127.0.0.1'
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port ?? 0, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${port}`,
    port,
    bill,
    requests,
    close: () =>
      new Promise(resolve => {
        batches.close()
        realtimeCalls.close()
        responses.close()
        server.close(() => resolve())
        server.closeAllConnections()
        endSockets()
      }),
  }
}
