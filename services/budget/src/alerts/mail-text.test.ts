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
