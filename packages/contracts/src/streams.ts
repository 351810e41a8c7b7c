import { integrationTestSubject } from './integration-test.ts'
import { memberMailboxSubject } from './member-mailbox.ts'
import { metBudgetsSubject } from './met-budgets.ts'
import { participantProofSubject } from './participant-proof.ts'
import { PARTITIONS } from './partitions.ts'
import { usageHoursSubjects } from './usage-hours.ts'
import { usageLogSubject } from './usage-log.ts'

const day = 24 * 60 * 60 * 1000

/** JetStream streams, in files. `discard: new`: a full stream refuses, it never evicts unread data. */
export const streams = {
  USAGE: {
    subjects: ['usage.>', 'gateway.epoch-closed.v1'],
    maxAgeMs: 14 * day,
    maxBytes: 4 * 1024 ** 3,
    duplicateWindowMs: 10 * 60 * 1000,
    discard: 'new',
    description: 'Metered attempts, their adjustments, ends of epochs',
    purgedBy: 'billing',
  },
  CALLS: {
    subjects: ['call.>'],
    maxAgeMs: 2 * day,
    maxBytes: 256 * 1024 ** 2,
    duplicateWindowMs: 2 * 60 * 1000,
    discard: 'old',
    description: 'Refused calls',
  },
  CONTROL: {
    subjects: [
      'project.>',
      'key.>',
      'price-book.>',
      'budget.cutoff.>',
      'budget.released.>',
      'balance.>',
      'gateway.hello.>',
    ],
    maxAgeMs: 14 * day,
    maxBytes: 256 * 1024 ** 2,
    duplicateWindowMs: 10 * 60 * 1000,
    discard: 'old',
    description: 'What changed and who said so; state is in the buckets',
  },
  AUDIT: {
    subjects: ['audit.>'],
    // Until it is in the trail, however long accounts is away.
    maxAgeMs: 0,
    maxBytes: 1024 ** 3,
    duplicateWindowMs: 10 * 60 * 1000,
    discard: 'new',
    description: 'Changes of other services that are not yet in the audit trail',
    untilAcknowledged: true,
  },
  JOURNAL: {
    subjects: ['gateway.journal.v1.*'],
    maxAgeMs: 14 * day,
    maxBytes: 1024 ** 3,
    duplicateWindowMs: 2 * 60 * 1000,
    discard: 'new',
    description: 'Journals of gateways without a disk',
    purgedBy: 'gateway',
    readBy: 'gateway',
  },
} as const satisfies Record<string, StreamDefinition>

/** Where a gateway without a disk keeps its journal. */
export function journalSubject(gatewayId: string): string {
  return `gateway.journal.v1.${gatewayId}`
}

/** One row of {@link streams}. */
export interface StreamDefinition {
  subjects: readonly string[]
  /** 0: no age is too old. */
  maxAgeMs: number
  maxBytes: number
  duplicateWindowMs: number
  discard: 'new' | 'old'
  description: string
  /** What its one durable consumer has acknowledged is gone. Absent: messages stay for their time. */
  untilAcknowledged?: true
  /** Who may delete what every durable consumer has acknowledged, before it is too old. Absent: nobody. */
  purgedBy?: ServiceName
  /** Who reads it beside its durable consumers. */
  readBy?: ServiceName
}

/** One row of {@link buckets}. */
export interface BucketDefinition {
  writer: ServiceName
  description: string
  maxAgeMs?: number
  maxBytes?: number
  /** Keys come and go without end: its writer removes what a deletion leaves behind after so long. */
  deletionsKeptMs?: number
}

/**
 * KV buckets (history 1): each holds state, one writer service each. `maxAgeMs`: what is not written for so long is gone.
 * `maxBytes`: beyond them the oldest is.
 */
export const buckets = {
  keys: { writer: 'accounts', description: 'Keys of projects' },
  projects: { writer: 'accounts', description: 'Settings of projects' },
  'managed-integrations': { writer: 'accounts', description: "The operator's access to providers" },
  rooms: { writer: 'accounts', description: 'Rooms of projects' },
  sessions: { writer: 'accounts', description: 'Bearer tokens of people, by hash' },
  budgets: { writer: 'budget', description: 'Budgets' },
  'budget-windows': {
    writer: 'budget',
    description: 'What each budget copy has spent in its window',
    deletionsKeptMs: 60 * 60_000,
  },
  cutoffs: {
    writer: 'budget',
    description: 'Budget copies whose calls are ended and refused',
    deletionsKeptMs: 60 * 60_000,
  },
  stops: { writer: 'budget', description: 'Calls that an admin has stopped' },
  'price-books': { writer: 'billing', description: 'Price books by id; the books are in the object store' },
  marks: { writer: 'billing', description: 'How far each series is posted' },
  'stored-responses': {
    writer: 'gateway',
    description: 'Which project made a response that its provider keeps',
    // Providers keep responses for 30 days.
    maxAgeMs: 31 * day,
  },
  'background-responses': {
    writer: 'gateway',
    description: 'Responses made in the background that are not settled',
    maxAgeMs: 31 * day,
  },
  'made-objects': {
    writer: 'gateway',
    description: "What projects have made at providers under the operator's credential",
    // Providers keep responses for 30 days.
    maxAgeMs: 31 * day,
    // About 1.5 million ids.
    maxBytes: 256 * 1024 ** 2,
  },
  containers: {
    writer: 'gateway',
    description: 'Containers that code ran in a moment ago, and what of them has been counted',
    // One that is not used for 20 minutes is gone.
    maxAgeMs: 30 * 60_000,
  },
  'realtime-calls': {
    writer: 'gateway',
    description: 'Realtime calls under way at providers: who made them, and who meters them',
    // Written again every few seconds while one of its gateways lives.
    maxAgeMs: 2 * day,
  },
  batches: {
    writer: 'gateway',
    description: 'Batches at providers: who made them, and whether they are settled',
    // Providers keep results for about a month.
    maxAgeMs: 60 * day,
  },
  files: {
    writer: 'gateway',
    description: 'Files that projects have uploaded for batches',
    maxAgeMs: 60 * day,
  },
} as const satisfies Record<string, BucketDefinition>
export type BucketName = keyof typeof buckets

/** Object stores. */
export const objectStores = {
  'price-books': { writer: 'billing', description: 'Price books, immutable, by content hash' },
} as const

/** One row of {@link consumers}. */
export interface ConsumerDefinition {
  stream: keyof typeof streams
  service: ServiceName
  filterSubjects: readonly string[]
  /** The next message waits for the ack of the one before, whichever instance has that: what comes again is overtaken by none. */
  oneByOne?: true
}

/** Durable pull consumers: explicit ack, unlimited redelivery; what cannot be applied goes to a dead-letter table. */
export const consumers = {
  'billing-ledger': {
    stream: 'USAGE',
    service: 'billing',
    filterSubjects: ['usage.recorded.v1.*', 'gateway.epoch-closed.v1'],
  },
  'budget-windows': {
    stream: 'USAGE',
    service: 'budget',
    filterSubjects: ['usage.recorded.v1.*', 'usage.adjusted.v1', 'gateway.epoch-closed.v1'],
  },
  'budget-balances': { stream: 'CONTROL', service: 'budget', filterSubjects: ['balance.*.v1'] },
  'analytics-rows': {
    stream: 'USAGE',
    service: 'analytics',
    filterSubjects: ['usage.recorded.v1.*', 'usage.adjusted.v1', 'gateway.epoch-closed.v1'],
  },
  'accounts-audit': { stream: 'AUDIT', service: 'accounts', filterSubjects: ['audit.recorded.v1.*'], oneByOne: true },
  'analytics-refused': { stream: 'CALLS', service: 'analytics', filterSubjects: ['call.refused.v1.*'] },
} as const satisfies Record<string, ConsumerDefinition>
export type ConsumerName = keyof typeof consumers

export const serviceNames = ['gateway', 'accounts', 'budget', 'billing', 'analytics'] as const
export type ServiceName = (typeof serviceNames)[number]

/** Subjects each service may publish to and subscribe to, beside its inbox and JetStream's API for what it uses. */
export const subjectPermissions: Record<ServiceName, { publish: readonly string[]; subscribe: readonly string[] }> = {
  gateway: {
    publish: [
      'usage.recorded.v1.*',
      'call.refused.v1.*',
      'gateway.hello.v1',
      'gateway.heartbeat.v1',
      'gateway.epoch-closed.v1',
      'gateway.journal.v1.*',
      'gateway.keys-used.v1',
      'budget.ask.v1.*',
      'budget.report.v1.*',
      'budget.hello.v1.*',
      'budget.heartbeat.v1.*',
    ],
    subscribe: ['budget.cutoff.v1', 'budget.released.v1', 'budget.recall.v1.*', integrationTestSubject],
  },
  accounts: {
    publish: ['project.changed.v1', 'key.revoked.v1', integrationTestSubject],
    // Usage as it is told, for spans of projects that have a collector: what is missed is missed.
    subscribe: ['gateway.keys-used.v1', 'usage.recorded.v1.*', participantProofSubject, memberMailboxSubject],
  },
  budget: {
    publish: [
      'audit.recorded.v1.budget',
      'budget.cutoff.v1',
      'budget.released.v1',
      'budget.recall.v1.*',
      usageLogSubject,
      participantProofSubject,
      memberMailboxSubject,
    ],
    subscribe: [
      'gateway.heartbeat.v1',
      'gateway.hello.v1',
      usageHoursSubjects.budget,
      metBudgetsSubject,
      'budget.ask.v1.*',
      'budget.report.v1.*',
      'budget.hello.v1.*',
      'budget.heartbeat.v1.*',
    ],
  },
  billing: {
    publish: [
      'audit.recorded.v1.billing',
      'price-book.published.v1',
      'usage.adjusted.v1',
      'balance.exhausted.v1',
      'balance.restored.v1',
      ...Object.values(usageHoursSubjects),
    ],
    subscribe: ['gateway.heartbeat.v1', usageLogSubject],
  },
  analytics: {
    publish: [usageLogSubject, metBudgetsSubject],
    subscribe: [usageHoursSubjects.analytics_rows, usageHoursSubjects.analytics_rollups],
  },
}

export { PARTITIONS }
