import type { Alert } from './alert-event.ts'

/** A message as people read it. */
export interface MailText {
  subject: string
  text: string
  html: string
}

/** An alert in words. What tenants have named stands in it as one line of plain text, whatever it holds. */
export function toMailText({ kind, document }: Alert): MailText {
  const { headline, lines } = kind === 'test' ? testWords : wordsOf(kind, document)
  const all = lines.map(([name, value]) => [name, lineOf(value)] as const)
  const rows = all.map(([name, value]) => `<tr><td>${escapeHtml(name)}</td><td>${escapeHtml(value)}</td></tr>`)
  return {
    subject: `[Sluice] ${headline}`,
    text: `${headline}\n\n${all.map(([name, value]) => `${name}: ${value}`).join('\n')}\n`,
    html: `<p>${escapeHtml(headline)}</p>\n<table>${rows.join('')}</table>\n`,
  }
}

interface Words {
  headline: string
  lines: [name: string, value: unknown][]
}

const testWords: Words = { headline: 'Alerts of budgets arrive here', lines: [['Kind', 'a test']] }

function wordsOf(kind: 'threshold' | 'forecast', about: Record<string, unknown>): Words {
  const amount = (value: unknown) =>
    about.unit === 'usd' ? `$${lineOf(value)}` : `${lineOf(value)} ${lineOf(about.unit)}`
  const copy = about.copy === null || about.copy === undefined ? '' : ` for ${lineOf(about.copy)}`
  const name = `Budget "${lineOf(about.budget_name)}"${copy}`
  return {
    headline:
      kind === 'threshold'
        ? `${name} has reached ${lineOf(about.threshold)} % of ${amount(about.limit)}`
        : `${name} will be spent before its window ends`,
    lines: [
      ['Spent', `${amount(about.spent)} of ${amount(about.limit)} (${lineOf(about.spent_percent)} %)`],
      ['Window', `${lineOf(about.window)}, since ${lineOf(about.window_started_at)}`],
      ['Resets', about.resets_at ?? 'never by itself'],
      ...(kind === 'forecast' ? ([['Spent up at', about.exhausted_at]] as Words['lines']) : []),
      ['Mode', about.mode],
      ['Project', about.project_id ?? 'all of the account'],
      ['Budget', about.budget_id],
    ],
  }
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
