import { createHmac, randomBytes } from 'node:crypto'

const prefix = 'whsec_'

/** A secret that a webhook's receiver checks by, in the form that libraries of Standard Webhooks take. */
export function newWebhookSecret(): string {
  return prefix + randomBytes(32).toString('base64')
}

/**
 * The headers by which a receiver knows a message as ours (Standard Webhooks): its id, the same in each attempt, the time of this
 * attempt, and a signature under each secret that holds.
 */
export function signWebhook(
  message: { id: string; body: string; atMs: number },
  secrets: readonly string[],
): Record<string, string> {
  const timestamp = String(Math.floor(message.atMs / 1_000))
  const signed = `${message.id}.${timestamp}.${message.body}`
  const signatures = secrets.map(secret => {
    const key = Buffer.from(secret.slice(prefix.length), 'base64')
    return `v1,${createHmac('sha256', key).update(signed).digest('base64')}`
  })
  return { 'webhook-id': message.id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') }
}
