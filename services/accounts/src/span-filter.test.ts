import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeUsageEvent } from '@sluice/test-env'
import { isWanted, type SpanFilter } from './span-filter.ts'

test('spans are sent of calls in which all that the filter names matches', () => {
  const event = makeUsageEvent({
    provider: 'openai',
    requested_model: 'gpt-5.4',
    status: 'failed',
    identity: { team_id: 'team_a' },
    claimed: { app: 'codex' },
  })
  const table: [SpanFilter | null, boolean][] = [
    [null, true],
    [{}, true],
    [{ models: ['openai/gpt-5*', 'anthropic/*'] }, true],
    [{ models: ['*'] }, true],
    [{ models: ['openai/gpt-5'] }, false],
    [{ models: [] }, false],
    [{ teams: ['team_b', 'team_a'] }, true],
    [{ teams: ['team_b'] }, false],
    [{ apps: ['codex'] }, true],
    [{ apps: ['claude-code'] }, false],
    [{ statuses: ['failed', 'cut'] }, true],
    [{ statuses: ['completed'] }, false],
    [{ models: ['openai/*'], teams: ['team_a'], apps: ['codex'], statuses: ['failed'] }, true],
    [{ models: ['openai/*'], teams: ['team_b'], apps: ['codex'], statuses: ['failed'] }, false],
  ]
  for (const [filter, wanted] of table) assert.equal(isWanted(filter, event), wanted, JSON.stringify(filter))
  const bare = makeUsageEvent({ identity: {}, claimed: {} })
  for (const filter of [{ teams: ['team_a'] }, { apps: ['codex'] }]) assert.equal(isWanted(filter, bare), false)
})
