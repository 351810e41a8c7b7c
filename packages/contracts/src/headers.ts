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
  /** Of a refusal: where to ask for more of the budget that said no. */
  requestMore: 'sluice-request-more',
  /** MeshAgent's clients read the human message from here. */
  errorMessage: 'x-meshagent-error-message',
} as const
