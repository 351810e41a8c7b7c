import type { Alert } from './alert-event.ts'

/** A message as people read it. */
export interface MailText {
  subject: string
  text: string
  html: string
}

/** An alert in words. What tenants have named stands in it as one line of plain text, whatever it holds. */
export function toMailText({ kind, document }: Alert): MailText {
  const { headline, lines } = wordsOf(kind, document)
  const all = lines.map(([name, value]) => [name, lineOf(value)] as const)
  const rows = all.map(([name, value]) => `<tr><td>${escapeHtml(name)}</td><td>${escapeHtml(value)}</td></tr>`)
  return {
    subject: `[Sluice] ${headline}`,
    text: `${headline}\n\n${all.map(([name, value]) => `${name}: ${value}`).join('\n')}\n`,
    html: `<p>${escapeHtml(headline)}</p>\n<table>${rows.join('')}</table>\n`,
  }
}

type About = Record<string, unknown>

interface Words {
  headline: string
  lines: [name: string, value: unknown][]
}

function wordsOf(kind: Alert['kind'], about: About): Words {
  switch (kind) {
    case 'test':
      return { headline: 'Alerts of budgets arrive here', lines: [['Kind', 'a test']] }
    case 'request':
      return requestWords(about)
    case 'decision':
      return decisionWords(about)
    default:
      return spentWords(kind, about)
  }
}

function spentWords(kind: 'threshold' | 'forecast', about: About): Words {
  const name = capital(nameOf(about, about.copy))
  const limit = amountOf(about, about.limit)
  return {
    headline:
      kind === 'threshold'
        ? `${name} has reached ${lineOf(about.threshold)} % of ${limit}`
        : `${name} will be spent before its window ends`,
    lines: [
      ['Spent', `${amountOf(about, about.spent)} of ${limit} (${lineOf(about.spent_percent)} %)`],
      ['Window', `${lineOf(about.window)}, since ${lineOf(about.window_started_at)}`],
      ['Resets', about.resets_at ?? 'never by itself'],
      ...(kind === 'forecast' ? ([['Spent up at', about.exhausted_at]] as Words['lines']) : []),
      ['Mode', about.mode],
      ...placeOf(about),
    ],
  }
}

/** To who may approve it: one, or several that were gathered. */
function requestWords(about: About): Words {
  const requests = about.requests as readonly About[]
  const [first] = requests
  return {
    headline:
      requests.length === 1
        ? `${amountOf(about, first?.amount)} more of ${nameOf(about, first?.copy)} is asked for`
        : `${requests.length} requests for more of ${nameOf(about, null)}`,
    lines: [
      ...requests.flatMap((request): Words['lines'] => [
        ['Asked for', `${amountOf(about, request.amount)}, at ${lineOf(request.created_at)}`],
        ['By', askerOf(request)],
        ['Reason', request.reason],
        ['Spent', `${amountOf(about, request.spent)} of ${amountOf(about, about.limit)} (${lineOf(about.window)})`],
        ['Approve', `POST ${lineOf(request.approve)} with {"until": "…"}, and "amount" for another one`],
        ['Decline', `POST ${lineOf(request.decline)}`],
      ]),
      ...placeOf(about),
    ],
  }
}

/** To them, and to whoever has asked. */
function decisionWords(about: About): Words {
  const request = about.request as About
  const name = nameOf(about, request.copy)
  const isApproved = about.state === 'approved'
  return {
    headline: isApproved
      ? `${amountOf(about, about.granted)} more of ${name} until ${lineOf(about.until)}`
      : `The request for ${amountOf(about, request.amount)} more of ${name} is declined`,
    lines: [
      ['Decision', about.state],
      ...(about.word === null ? [] : ([['Word', about.word]] as Words['lines'])),
      ['By', about.decided_by],
      ['Asked for', `${amountOf(about, request.amount)}, at ${lineOf(request.created_at)}`],
      ['Asked by', askerOf(request)],
      ['Reason', request.reason],
      ...placeOf(about),
    ],
  }
}

function amountOf({ unit }: About, value: unknown): string {
  return unit === 'usd' ? `$${lineOf(value)}` : `${lineOf(value)} ${lineOf(unit)}`
}

function nameOf({ budget_name: name }: About, copy: unknown): string {
  return `budget "${lineOf(name)}"${copy === null || copy === undefined ? '' : ` for ${lineOf(copy)}`}`
}

function capital(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`
}

function askerOf({ requested_by: by, key_name: key, participant, room, member_id: member }: About): string {
  return [
    `${lineOf(by)}${key === null ? '' : ` "${lineOf(key)}"`}`,
    ...(participant === null ? [] : [`participant "${lineOf(participant)}"`]),
    ...(room === null ? [] : [`room "${lineOf(room)}"`]),
    ...(member === null || String(by).endsWith(` ${member}`) ? [] : [`member ${lineOf(member)}`]),
  ].join(', ')
}

function placeOf(about: About): Words['lines'] {
  return [
    ['Project', about.project_id ?? 'all of the account'],
    ['Budget', about.budget_id],
  ]
}

/** One line: a header of a mail, and a line of its text, end where it does. */
function lineOf(value: unknown): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not get in.
  return String(value ?? '').replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ')
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, character => entities[character] ?? '')
}
