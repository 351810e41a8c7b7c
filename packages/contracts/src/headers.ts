/** Headers on answers of the gateway, lower case. */
export const responseHeaders = {
  callId: 'sluice-call-id',
  overheadMs: 'sluice-overhead-ms',
  servedBy: 'sluice-served-by',
  clamped: 'sluice-clamped',
  costUsd: 'sluice-cost-usd',
  budgetName: 'sluice-budget-name',
  budgetSpent: 'sluice-budget-spent',
  budgetHeld: 'sluice-budget-held',
  budgetLimit: 'sluice-budget-limit',
  budgetReset: 'sluice-budget-reset',
  /** MeshAgent's clients read the human message from here. */
  errorMessage: 'x-meshagent-error-message',
} as const

/** Headers a client may send to the gateway, lower case. All are taken off before the provider sees the request. */
export const requestHeaders = {
  projectId: 'meshagent-project-id',
  team: 'sluice-team',
  receipt: 'sluice-receipt',
  tagPrefix: 'sluice-tag-',
  annotationPrefix: 'x-meshagent-annotation-',
  litellmTags: 'x-litellm-tags',
} as const
