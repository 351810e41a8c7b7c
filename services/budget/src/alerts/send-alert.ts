import type { AttemptOutcome, ClaimedDelivery } from './delivery-store.ts'
import type { mailSender } from './send-mail.ts'
import type { webhookSender } from './send-webhook.ts'

export interface SendDeps {
  sendWebhook: ReturnType<typeof webhookSender>
  sendMail: ReturnType<typeof mailSender>
  /** Where mail of a project reaches a member; undefined: nowhere. */
  findMailbox: (projectId: string, memberId: string) => Promise<string | undefined>
  now: () => number
}

/** One attempt at whatever kind of destination it is. */
export function alertSender({ sendWebhook, sendMail, findMailbox, now }: SendDeps) {
  return async (delivery: ClaimedDelivery): Promise<AttemptOutcome> => {
    const { target } = delivery.destination
    switch (target.kind) {
      case 'webhook':
        return await sendWebhook(delivery, now())
      case 'email':
        return await sendMail(delivery, target.addresses)
      case 'member': {
        const address = await findMailbox(projectOf(delivery), target.memberId).catch(() => null)
        if (address === null)
          return { ok: false, error: 'Where mail reaches them could not be asked: accounts is away.' }
        if (address === undefined) return { ok: false, error: 'They are in the project no more.', isMoot: true }
        return await sendMail(delivery, [address])
      }
      default:
        return target satisfies never
    }
  }
}

/** Of whoever has asked: the budget may span projects. */
function projectOf({ alert: { document } }: ClaimedDelivery): string {
  const { project_id: projectId } = (document.request ?? {}) as { project_id?: unknown }
  return String(projectId)
}
