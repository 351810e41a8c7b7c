import type { CallIdentity, ClaimedDimensions } from '@sluice/contracts'
import type { OpenRecord } from './open-record.ts'

/** What the OPEN and the CLOSE of an attempt both say: who called, for what, to whom it went. */
export type AttemptFacts = Pick<
  OpenRecord,
  | 'attempt'
  | 'identity'
  | 'claimed'
  | 'paid_by'
  | 'dialect'
  | 'endpoint'
  | 'streamed'
  | 'requested_model'
  | 'provider'
  | 'served_by'
>

interface Written {
  facts: AttemptFacts
  json: string
}

/** A longer text, with a name that somebody has made up, is not kept. */
const maxKeptLength = 4 * 1024

/** What was written last for each identity: most calls of one caller differ in nothing of this. */
const lastOf = new WeakMap<CallIdentity, Written>()

/** The members of the facts as they stand in an object's JSON, without its braces. An identity that was given here does not change. */
export function membersOfFacts(facts: AttemptFacts): string {
  const last = lastOf.get(facts.identity)
  if (last && isSame(last.facts, facts)) return last.json
  const { attempt, identity, claimed, paid_by, dialect, endpoint, streamed, requested_model, provider, served_by } =
    facts
  const kept: AttemptFacts = {
    attempt,
    identity,
    // A copy: the draft of a CLOSE may lose its claims.
    claimed: { ...claimed },
    paid_by,
    dialect,
    endpoint,
    streamed,
    requested_model,
    provider,
    served_by,
  }
  const json = flat(JSON.stringify(kept).slice(1, -1))
  if (json.length <= maxKeptLength) lastOf.set(identity, { facts: kept, json })
  return json
}

/** The same text in one piece: what is a part of another is slow to write. */
function flat(text: string): string {
  return Buffer.from(text).toString()
}

function isSame(one: AttemptFacts, other: AttemptFacts): boolean {
  return (
    one.requested_model === other.requested_model &&
    one.endpoint === other.endpoint &&
    one.dialect === other.dialect &&
    one.streamed === other.streamed &&
    one.attempt === other.attempt &&
    one.provider === other.provider &&
    one.served_by === other.served_by &&
    one.paid_by === other.paid_by &&
    isSameClaim(one.claimed, other.claimed)
  )
}

function isSameClaim(one: ClaimedDimensions, other: ClaimedDimensions): boolean {
  return (
    one.app === other.app &&
    one.session_id === other.session_id &&
    one.agent_id === other.agent_id &&
    one.parent_agent_id === other.parent_agent_id &&
    one.tags === other.tags
  )
}
