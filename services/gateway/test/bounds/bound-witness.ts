import { compilePriceBook } from '@sluice/pricing'
import { importCatalogue } from '@sluice/pricing/catalogue'
import type { BillRecord, Simulator } from '@sluice/simulator'
import type { PriceBooksOfCall } from '../../src/allow-model.ts'
import { boundTextCall, type CallBound, type TextCall } from '../../src/bounds/call-bound.ts'
import { type Endpoint, endpoints } from '../../src/endpoints.ts'
import { type ModelRequest, readModelRequest } from '../../src/read-request.ts'

/** The catalogue's prices, as tests take them. */
export const books: PriceBooksOfCall = {
  book: compilePriceBook(importCatalogue({ atMs: Date.parse('2026-11-26') }).book),
  override: undefined,
}

export function endpointNamed(name: string): Endpoint {
  const found = endpoints.find(endpoint => endpoint.name === name)
  if (!found) throw new Error(`There is no endpoint "${name}".`)
  return found
}

/** A request as the gateway reads it, and what its bound is told from. */
export function readCall(name: string, json: string): { request: ModelRequest; call: TextCall; bound: CallBound } {
  const endpoint = endpointNamed(name)
  const request = readModelRequest(endpoint, Buffer.from(json))
  const { model, named, scanned: body } = request
  if (!body) throw new Error('The request was not scanned.')
  const call: TextCall = {
    endpoint,
    dialect: endpoint.dialect,
    model,
    prices: books,
    body,
    assumeDearest: false,
    named,
  }
  return { request, call, bound: boundTextCall(call) }
}

/** Has a request answered, and gives what is charged for it. */
export function billOf(simulator: Simulator, name: string, body: Buffer): Promise<BillRecord> {
  return answered(simulator, name, new Uint8Array(body), { 'content-type': 'application/json' })
}

/** The same of a form. */
export function billOfForm(simulator: Simulator, name: string, form: FormData): Promise<BillRecord> {
  return answered(simulator, name, form, {})
}

async function answered(
  simulator: Simulator,
  name: string,
  body: Uint8Array<ArrayBuffer> | FormData,
  type: Record<string, string>,
): Promise<BillRecord> {
  const { dialect, path } = endpointNamed(name)
  const headers = { ...type, authorization: 'Bearer sk-bounds', 'anthropic-version': '2023-06-01' }
  const response = await fetch(`${simulator.url}/${dialect}${path}`, { method: 'POST', headers, body })
  const answer = await response.text()
  if (response.status !== 200) throw new Error(`${response.status}: ${answer}`)
  const id = response.headers.get('x-request-id') ?? response.headers.get('request-id') ?? ''
  const record = simulator.bill.find(id)
  if (!record) throw new Error(`There is no bill of "${id}".`)
  return record
}

/** All tokens of a bill, those of other turns included. */
export function tokensOf({ lines }: BillRecord): number {
  return lines
    .filter(({ item }) => /input|output/.test(item) && item !== 'output_thinking')
    .reduce((sum, { units }) => sum + units, 0)
}
