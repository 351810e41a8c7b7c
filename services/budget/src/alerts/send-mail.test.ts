import assert from 'node:assert/strict'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { SMTPServer } from 'smtp-server'
import type { ClaimedDelivery } from './delivery-store.ts'
import { mailSender } from './send-mail.ts'

/** What the server says to whom mails are from, and whom they are to; how long it takes for each of these. */
const server = { from: 0, to: 0, delayMs: 0 }
const answer = (status: number, done: (error?: Error | null) => void) =>
  done(status === 0 ? null : Object.assign(new Error('secret words'), { responseCode: status }))
const smtp = new SMTPServer({
  disabledCommands: ['AUTH', 'STARTTLS'],
  onMailFrom: (_address, _session, done) => answer(server.from, done),
  onRcptTo: (_address, _session, done) => void setTimeout(() => answer(server.to, done), server.delayMs),
  onData(stream, _session, done) {
    stream.on('end', () => done()).resume()
  },
})
smtp.on('error', () => {})
await new Promise<void>(resolve => smtp.listen(0, '127.0.0.1', resolve))
after(() => smtp.close())
const settings = {
  url: `smtp://127.0.0.1:${(smtp.server.address() as AddressInfo).port}`,
  from: 'Sluice <alerts@sluice.example>',
}
const delivery: Pick<ClaimedDelivery, 'alert' | 'deliveryId'> = {
  deliveryId: 'dlv_1',
  alert: { alertId: 'alr_1', kind: 'test', budgetId: undefined, atMs: 0, document: {} },
}
const addresses = Array.from({ length: 20 }, (_, index) => `p${index}@example.com`)

test('a mailbox that is not there is given up; a sender that the server does not like is an operator’s to set right', async () => {
  server.to = 550
  assert.deepEqual(await mailSender(settings)(delivery, addresses), {
    ok: false,
    error: 'The mail server answered 550.',
    isFinal: true,
  })
  Object.assign(server, { to: 0, from: 550 })
  assert.deepEqual(await mailSender(settings)(delivery, addresses), {
    ok: false,
    error: 'The mail server answered 550.',
  })
  server.from = 0
  assert.deepEqual(await mailSender(settings)(delivery, addresses), { ok: true })
})

test('an attempt ends in its time, however slowly a server takes one address after the other', async () => {
  server.delayMs = 100
  assert.deepEqual(await mailSender(settings, 300)(delivery, addresses), {
    ok: false,
    error: 'The mail server has not taken it in time.',
  })
})
