import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import * as contracts from './index.ts'

const folder = join(import.meta.dirname, '..', 'fixtures')

/** Each kept example, and what must be able to read it for ever. */
const readers: Record<string, { decode: (json: string) => unknown }> = {
  'audit-recorded.v1': contracts.AuditRecorded,
  'usage-recorded.v1': contracts.UsageRecorded,
  'usage-recorded.v1-drawn': contracts.UsageRecorded,
  'usage-adjusted.v1': contracts.UsageAdjusted,
  'call-refused.v1': contracts.CallRefused,
  'gateway-hello.v1': contracts.GatewayHello,
  'gateway-heartbeat.v1': contracts.GatewayHeartbeat,
  'gateway-keys-used.v1': contracts.KeysUsed,
  'gateway-epoch-closed.v1': contracts.GatewayEpochClosed,
  'balance-exhausted.v1': contracts.BalanceExhausted,
  'balance-restored.v1': contracts.BalanceRestored,
  'budget-cutoff.v1': contracts.BudgetCutoff,
  'budget-released.v1': contracts.BudgetReleased,
  'budget-ask.v1': contracts.LeaseAsk,
  'budget-report.v1': contracts.LeaseReport,
  'budget-hello.v1': contracts.LeaseHello,
  'budget-heartbeat.v1': contracts.LeaseHeartbeat,
  'budget-recall.v1': contracts.LeaseRecall,
  'document-lease-answer': contracts.LeaseAnswer,
  'document-lease-receipt': contracts.LeaseReceipt,
  'project-changed.v1': contracts.ProjectChanged,
  'key-revoked.v1': contracts.KeyRevoked,
  'price-book-published.v1': contracts.PriceBookPublished,
  'document-cutoff': contracts.Cutoff,
  'document-stop': contracts.Stop,
  'document-price-book-entry': contracts.PriceBookEntry,
  'document-mark': contracts.Mark,
  'document-batch-job': contracts.BatchJob,
  'document-stored-file': contracts.StoredFile,
  'document-budget': contracts.Budget,
  'document-budget-window': contracts.BudgetWindow,
  'document-key': contracts.Key,
  'document-project': contracts.Project,
  'document-managed-integration': contracts.ManagedIntegration,
  'document-integration-test-request': contracts.IntegrationTestRequest,
  'document-integration-test-result': contracts.IntegrationTestResult,
  'document-room': contracts.Room,
  'document-session': contracts.Session,
  'document-usage-log-request': contracts.UsageLogRequest,
  'document-usage-log-batch': contracts.UsageLogBatch,
  'document-usage-hours-request': contracts.UsageHoursRequest,
  'document-usage-hours-page': contracts.UsageHoursPage,
  'document-met-budgets-request': contracts.MetBudgetsRequest,
  'document-met-budgets': contracts.MetBudgets,
  'document-member-mailbox-request': contracts.MemberMailboxRequest,
  'document-member-mailbox': contracts.MemberMailbox,
  'document-participant-proof-request': contracts.ParticipantProofRequest,
  'document-participant-proof': contracts.ParticipantProof,
  'document-made-object': contracts.MadeObject,
  'document-charged-container': contracts.ChargedContainer,
  'document-stored-response': contracts.StoredResponse,
  'document-background-response': contracts.BackgroundResponse,
  'document-realtime-call': contracts.RealtimeCall,
}

function read(name: string): string {
  return readFileSync(join(folder, `${name}.json`), 'utf8')
}

test('every event and document has a kept example, and every example a reader', () => {
  assert.deepEqual(
    readdirSync(folder)
      .map(file => file.replace('.json', ''))
      .sort(),
    Object.keys(readers).sort(),
  )
  const declared = Object.values(contracts).filter(
    value => typeof value === 'object' && value !== null && 'decode' in value,
  )
  assert.deepEqual(new Set(declared), new Set(Object.values(readers)))
})

for (const [name, reader] of Object.entries(readers)) {
  test(`the kept example of ${name} is still read`, () => {
    assert.deepEqual(reader.decode(read(name)), JSON.parse(read(name)))
  })

  test(`${name} without one of its required members is refused, by the name of the member`, () => {
    const example = JSON.parse(read(name)) as Record<string, unknown>
    const { required } = (reader as unknown as { schema: { required: string[] } }).schema
    for (const member of required) {
      const { [member]: _gone, ...rest } = example
      assert.throws(() => reader.decode(JSON.stringify(rest)), contracts.ContractError, member)
    }
  })
}

test('the heartbeat of a gateway from before it told its numbers is still read', () => {
  const { last, open_attempts, open_nano_usd, open_unrated, ...early } = JSON.parse(read('gateway-heartbeat.v1'))
  assert.deepEqual(contracts.GatewayHeartbeat.decode(JSON.stringify(early)), early)
  const told = { ...early, last, open_attempts, open_nano_usd, open_unrated }
  for (const wrong of [{ last: last.slice(1) }, { open_attempts: -1 }, { open_nano_usd: 0.5 }])
    assert.throws(
      () => contracts.GatewayHeartbeat.decode(JSON.stringify({ ...told, ...wrong })),
      contracts.ContractError,
    )
})

test('documents from before they named permissions and teams’ settings are still read', () => {
  const { permissions, member_team_ids, member_default_team_id, ip_ranges, system, ...key } = JSON.parse(
    read('document-key'),
  )
  assert.deepEqual(contracts.Key.decode(JSON.stringify(key)), key)
  const { permissions: _, operator, ...session } = JSON.parse(read('document-session'))
  assert.deepEqual(contracts.Session.decode(JSON.stringify(session)), session)
  const { unknown_rooms, ...plain } = JSON.parse(read('document-project'))
  const project = { ...plain, teams: [{ team_id: 'team_01', name: 'Platform' }] }
  assert.deepEqual(contracts.Project.decode(JSON.stringify(project)), project)
})

test('text that is no JSON, and money that is no integer, are refused', () => {
  assert.throws(() => contracts.UsageRecorded.decode('{'), /not JSON/)
  const event = JSON.parse(read('usage-recorded.v1'))
  assert.throws(() => contracts.UsageRecorded.decode(JSON.stringify({ ...event, cost_nano_usd: 0.5 })), /cost_nano_usd/)
  assert.throws(
    () => contracts.UsageRecorded.decode(JSON.stringify({ ...event, quantities: { in_text: -1 } })),
    /in_text/,
  )
})
