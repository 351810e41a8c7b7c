import type { MsgHdrs, NatsConnection } from '@nats-io/transport-node'

/** Of a server that has not ended: also on a machine that others use. */
const answerTimeoutMs = 30_000

/** Publishes to a stream. Resolves when the stream has stored the message. */
export async function publishStored(
  connection: NatsConnection,
  subject: string,
  body: string,
  headers?: MsgHdrs,
): Promise<void> {
  // A JetStream publish is a request that the stream answers; no message id, so that a test may send a message twice.
  const answer = await connection.request(subject, body, {
    timeout: answerTimeoutMs,
    ...(headers === undefined ? {} : { headers }),
  })
  const { error } = answer.json<{ error?: { description: string } }>()
  if (error) throw new Error(`the stream did not store a message of ${subject}: ${error.description}`)
}
