import { type Budget, totalInputTokens, totalOutputTokens, type UsageRecordedData } from '@sluice/contracts'

/**
 * What an attempt that has ended counts for in a budget's unit. A flat seat's cost is notional. A slot of unit `concurrent` comes
 * back whole.
 */
export function usedAmount(
  unit: Budget['unit'],
  attempt: Pick<UsageRecordedData, 'cost_nano_usd' | 'http_status' | 'paid_by' | 'quantities' | 'status'>,
): number {
  switch (unit) {
    case 'usd':
      return attempt.paid_by === 'seat' ? 0 : attempt.cost_nano_usd
    case 'tokens':
      return tokensOf(attempt)
    case 'requests':
      // No answer at all and nothing used: the provider was not reached (name, connection, TLS).
      return attempt.status === 'failed' && attempt.http_status === 0 && tokensOf(attempt) === 0 ? 0 : 1
    case 'concurrent':
      return 0
  }
}

function tokensOf({ quantities }: Pick<UsageRecordedData, 'quantities'>): number {
  return totalInputTokens(quantities) + totalOutputTokens(quantities)
}
