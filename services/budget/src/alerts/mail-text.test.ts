import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toMailText } from './mail-text.ts'

const alert = { alertId: 'alr_1', kind: 'threshold' as const, budgetId: 'bud_1', atMs: 0 }
const document = {
  budget_name: 'Team A',
  copy: 'mem_1',
  unit: 'usd',
  limit: '25.00',
  spent: '20.40',
  spent_percent: 81,
  threshold: 80,
}

test('an alert in words names budget, copy, share and amounts', () => {
  const { subject, text } = toMailText({ ...alert, document })
  assert.equal(subject, '[Sluice] Budget "Team A" for mem_1 has reached 80 % of $25.00')
  assert.match(text, /^Spent: \$20\.40 of \$25\.00 \(81 %\)$/m)
})

test('what tenants have named makes no header, no line and no element of its own', () => {
  const hostile = { ...document, budget_name: 'a\r\nBcc: b@example.com\r\n\r\n<script>"&\u2028', copy: '\n<b>' }
  const { subject, text, html } = toMailText({ ...alert, document: hostile })
  assert.ok(!/[\r\n\u2028]/.test(subject), subject)
  assert.ok(!/^Bcc/m.test(text) && !/<script|<b>/.test(html))
})

const asked = {
  id: 'req_1',
  copy: null,
  amount: '5.00',
  spent: '25.00',
  reason: 'The job is not done.\r\nBcc: b@example.com',
  requested_by: 'key key_1',
  key_name: 'laptop',
  participant: 'bo',
  room: 'lab',
  member_id: 'mem_1',
  created_at: '2026-05-13T18:00:00.000Z',
  approve: 'https://sluice.example.com/accounts/projects/p/budgets/requests/req_1/approve',
  decline: 'https://sluice.example.com/accounts/projects/p/budgets/requests/req_1/decline',
}

test('a request in words says who asks for how much and why, and where it is decided; its reason makes no header and no line', () => {
  const { subject, text, html } = toMailText({
    ...alert,
    kind: 'request',
    document: { ...document, requests: [asked] },
  })
  assert.equal(subject, '[Sluice] $5.00 more of budget "Team A" is asked for')
  assert.match(text, /^By: key key_1 "laptop", participant "bo", room "lab", member mem_1$/m)
  assert.match(text, /^Reason: The job is not done\. Bcc: b@example\.com$/m)
  assert.match(text, /^Approve: POST https:.*\/req_1\/approve /m)
  assert.ok(!/^Bcc/m.test(text) && html.includes('&quot;laptop&quot;'))
  const several = toMailText({ ...alert, kind: 'request', document: { ...document, requests: [asked, asked] } })
  assert.equal(several.subject, '[Sluice] 2 requests for more of budget "Team A"')
  assert.equal(several.text.match(/^Reason: /gm)?.length, 2)
})

test('a decision in words says what was granted until when, or that it was declined, and the word of whoever decided', () => {
  const decided = { ...document, request: asked, decided_by: 'member mem_2', word: 'Until tonight.' }
  const granted = { ...decided, state: 'approved', granted: '2.50', until: '2026-05-14T00:00:00.000Z' }
  const approved = toMailText({ ...alert, kind: 'decision', document: granted })
  assert.equal(approved.subject, '[Sluice] $2.50 more of budget "Team A" until 2026-05-14T00:00:00.000Z')
  assert.match(approved.text, /^Word: Until tonight\.$/m)
  const declined = toMailText({ ...alert, kind: 'decision', document: { ...decided, state: 'declined', word: null } })
  assert.equal(declined.subject, '[Sluice] The request for $5.00 more of budget "Team A" is declined')
  assert.ok(!/^Word/m.test(declined.text))
})
