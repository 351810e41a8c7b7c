import type { Route } from '../resolve-route.ts'
import { refuseReference } from './refuse-reference.ts'
import { readReferencesIn } from './require-own-references.ts'

/**
 * A realtime session or an event for one may name no saved prompt, voice or file where it goes out under the operator's
 * credential. Items are those of the session itself.
 * @throws Refusal
 */
export function refuseSessionReferences({ access }: Pick<Route, 'access'>, body: Buffer): void {
  if (access !== 'managed') return
  for (const reference of readReferencesIn({ body, names: 'prompts-and-voices' }))
    if (reference.kind !== 'item') refuseReference(reference)
}
