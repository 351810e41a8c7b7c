import { type Budget, partitionOf } from '@sluice/contracts'

/** The home of a budget's leases: that of its project, or its own where it is wider than one project. */
export function homeOfBudget({ budget_id: budgetId, scope }: Pick<Budget, 'budget_id' | 'scope'>): number {
  return partitionOf(scope.project ?? budgetId)
}
