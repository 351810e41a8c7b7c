import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { UsageResult } from '@sluice/usage'
import { Refusal, type RefusalReason } from '../refusal.ts'
import { endMessages } from './end-messages.ts'

test('an explicit end of a message is of the type that a refusal for the same would be', () => {
  const state = { id: 'msg_1', model: 'm', openBlocks: [], inToolCall: false, stopReason: undefined, usage: undefined }
  const typeOf = (reason: RefusalReason) => {
    const usage = {} as UsageResult
    const ending = {
      style: 'explicit',
      refusal: new Refusal(reason, 'm'),
      callId: 'c',
      usage,
      clientWantsUsage: false,
    } as const
    const [, data = ''] = /^event: error\ndata: (.*)\n\n$/.exec(endMessages(state, ending)) ?? []
    return (JSON.parse(data) as { error: { type: string } }).error.type
  }
  const types = {
    ...{
      budget_spent: 'billing_error',
      balance_exhausted: 'billing_error',
      credential_revoked: 'authentication_error',
    },
    ...{ unauthorized: 'authentication_error', stopped_by_admin: 'permission_error', room_closed: 'permission_error' },
    ...{
      room_not_granted: 'permission_error',
      model_not_allowed: 'permission_error',
      project_disabled: 'permission_error',
    },
    internal: 'api_error',
  } as const
  for (const [reason, type] of Object.entries(types)) assert.equal(typeOf(reason as RefusalReason), type, reason)
})
