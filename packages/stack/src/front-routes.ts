/** Who answers the public paths that are not the gateway's own. */
export interface FrontOwners {
  accounts: string
  budget: string
  billing: string
  analytics: string
}

/** First match wins: narrow patterns stand before the wide ones of accounts. `*` is one segment, `/**` any rest. */
const routes: readonly [pattern: string, owner: keyof FrontOwners][] = [
  ['/accounts/projects/*/usage/**', 'analytics'],
  ['/accounts/projects/*/usage', 'analytics'],
  ['/accounts/projects/*/llm-proxy/usage', 'analytics'],
  ['/accounts/projects/*/llm-proxy/quota', 'budget'],
  ['/accounts/projects/*/llm-proxy/requests/**', 'budget'],
  ['/accounts/projects/*/llm-quotas/**', 'budget'],
  ['/ask/**', 'budget'],
  ['/accounts/projects/*/calls/**', 'analytics'],
  ['/api/calls/**', 'analytics'],
  ['/api/openapi/budget.json', 'budget'],
  ['/api/openapi/billing.json', 'billing'],
  ['/api/openapi/analytics.json', 'analytics'],
  ['/accounts/projects/*/balance', 'billing'],
  ['/accounts/projects/*/transactions', 'billing'],
  ['/accounts/projects/*/subscription', 'billing'],
  ['/accounts/projects/*/credits', 'billing'],
  ['/accounts/projects/*/recharge', 'billing'],
  ['/accounts/projects/*/price-book', 'billing'],
  ['/accounts/budgets/**', 'budget'],
  ['/accounts/budgets', 'budget'],
  ['/accounts/projects/*/budgets/**', 'budget'],
  ['/accounts/projects/*/budgets', 'budget'],
  ['/accounts/projects/*/stops/**', 'budget'],
  ['/accounts/projects/*/stops', 'budget'],
  ['/pricing', 'billing'],
  ['/accounts/**', 'accounts'],
  ['/api/**', 'accounts'],
  ['/config', 'accounts'],
]

/** `SLUICE_FRONT_ROUTES`: how the gateway, where it is the one public origin, hands paths to their owners. */
export function writeFrontRoutes(owners: FrontOwners): string {
  return routes.map(([pattern, owner]) => `${pattern}=${owners[owner]}`).join(',')
}
