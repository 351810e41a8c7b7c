import { jetstream } from '@nats-io/jetstream'
import { type MsgHdrs, headers as newHeaders } from '@nats-io/transport-node'
import type { EventContract } from '@sluice/contracts'
import { passTraceOn } from '@sluice/telemetry/passed-on-trace'
import type { Static, TSchema } from 'typebox'
import type { Bus } from './connect.ts'

export { type MsgHdrs, newHeaders }

/** CloudEvents attributes of a message, in binary mode. */
export interface CloudEventAttributes {
  id: string
  /** `/accounts`, `/gateway/<id>` … */
  source: string
  type: string
  timeMs: number
}

/** Headers of a message: CloudEvents attributes and the trace context of the caller. */
export function cloudEventHeaders(attributes: CloudEventAttributes, contentType = 'application/json'): MsgHdrs {
  const result = newHeaders()
  result.set('ce-specversion', '1.0')
  result.set('ce-id', attributes.id)
  result.set('ce-source', attributes.source)
  result.set('ce-type', attributes.type)
  result.set('ce-time', new Date(attributes.timeMs).toISOString())
  result.set('content-type', contentType)
  passTraceOn((name, value) => result.set(name, value))
  return result
}

/**
 * Publishes to JetStream and waits for the ack, as the library's `publish` does, which makes an error with its stack trace
 * for each message, whatever comes of it: who publishes a hundred times a second feels that.
 * @throws Error on no ack
 */
export async function publishOften(
  bus: Bus,
  subject: string,
  data: Uint8Array,
  options: { msgID: string; headers: MsgHdrs; timeoutMs: number },
): Promise<void> {
  const { headers, msgID, timeoutMs: timeout } = options
  headers.set('Nats-Msg-Id', msgID)
  const { error, stream } = (await bus.connection.request(subject, data, { headers, timeout, noMux: true })).json<{
    error?: { code?: number; description?: string }
    stream?: string
  }>()
  if (error) throw new Error(`JetStream refuses ${subject}: ${error.description ?? 'no reason'} (${error.code})`)
  if (!stream) throw new Error(`no stream has taken ${subject}`)
}

/** Publishes to JetStream and waits for the ack. `id` is the event's id and the deduplication id. @throws on no ack */
export async function publishEvent<Schema extends TSchema, Args extends readonly (string | number)[]>(
  bus: Bus,
  event: EventContract<Schema, Args>,
  subjectArgs: Args,
  data: Static<Schema>,
  meta: { id: string; source: string; timeMs: number },
): Promise<void> {
  await jetstream(bus.connection, { timeout: 2_000 }).publish(event.subject(...subjectArgs), event.encode(data), {
    msgID: `${event.type}:${meta.id}`,
    headers: cloudEventHeaders({ ...meta, type: event.type }),
  })
}
