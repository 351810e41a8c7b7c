import { createTransport } from 'nodemailer'
import type { AttemptOutcome, ClaimedDelivery } from './delivery-store.ts'
import { toMailText } from './mail-text.ts'

/** The mail server, and whom mails are from. */
export interface MailSettings {
  /** `smtp://user:password@host:port`, or `smtps://`. */
  url: string
  from: string
}

const timeoutMs = 10_000
/** Of the whole, however slowly a server takes one address after the other: behind it another process makes the attempt. */
const attemptMs = 50_000

/** Sends alerts as mails to addresses. What a server says is kept by its number alone. */
export function mailSender(settings: MailSettings | undefined, longestMs = attemptMs) {
  if (!settings)
    return async (): Promise<AttemptOutcome> => ({
      ok: false,
      error: 'This installation sends no e-mail: SLUICE_SMTP_URL and SLUICE_MAIL_FROM are not set.',
    })
  const { url, from } = settings
  const domain = /@([^@<>\s]+)>?$/.exec(from)?.[1] ?? 'localhost'
  const transport = createTransport({
    url,
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    disableFileAccess: true,
    disableUrlAccess: true,
  })
  return async (
    { alert, deliveryId }: Pick<ClaimedDelivery, 'alert' | 'deliveryId'>,
    addresses: readonly string[],
  ): Promise<AttemptOutcome> => {
    try {
      const { rejected } = await transport.sendMail({
        from,
        to: addresses.map(address => ({ name: '', address })),
        // The same in each attempt.
        messageId: `<${deliveryId}@${domain}>`,
        headers: { 'Auto-Submitted': 'auto-generated' },
        signal: AbortSignal.timeout(longestMs),
        ...toMailText(alert),
      })
      if (rejected.length === 0) return { ok: true }
      return { ok: true, error: `The mail server has refused ${rejected.length} of the addresses.` }
    } catch (error) {
      return failureOf(error)
    }
  }
}

/** In words: what the server has written may hold anything. */
function failureOf(error: unknown): AttemptOutcome {
  const { code, command, responseCode } = error as { code?: string; command?: string; responseCode?: number }
  if (code === 'EABORT') return { ok: false, error: 'The mail server has not taken it in time.' }
  if (responseCode === undefined)
    return { ok: false, error: `The mail server could not be reached${code === undefined ? '' : ` (${code})`}.` }
  // There is no such mailbox, and will be none in an hour. What is said of the sender an operator can set right.
  const isFinal = code === 'EENVELOPE' && command === 'RCPT TO' && responseCode >= 550
  return { ok: false, error: `The mail server answered ${responseCode}.`, ...(isFinal && { isFinal }) }
}
