import { AuditRecorded } from '@sluice/contracts'
import {
  createDiscardedLetters,
  createGivenUpGaps,
  createOutbox,
  createRebuild,
  createSeriesMarks,
  indexOutboxBeside,
  type Migration,
} from '@sluice/postgres'
import { createBudgets } from './001-create-budgets.ts'
import { createSpendFacts } from './002-create-spend-facts.ts'
import { createAuditEntries } from './003-create-audit-entries.ts'
import { createLeases } from './004-create-leases.ts'
import { createRaises } from './005-create-raises.ts'
import { spanProjects } from './006-span-projects.ts'
import { keepClaimedDimensions } from './007-claimed-dimensions.ts'
import { makeOnce } from './008-make-once.ts'
import { createSeatBudgets } from './009-create-seat-budgets.ts'
import { noteOrigins } from './010-note-origins.ts'
import { createStops } from './011-create-stops.ts'
import { exceptCopies } from './012-except-copies.ts'
import { createAlerts } from './013-create-alerts.ts'
import { createMoreRequests } from './014-create-more-requests.ts'
import { markQuotas } from './015-mark-quotas.ts'
import { createProjectBalances } from './016-create-project-balances.ts'
import { noteAlertsGivenUp } from './017-note-alerts-given-up.ts'
import { letParticipantsAsk } from './018-let-participants-ask.ts'
import { tellOfRequests } from './019-tell-of-requests.ts'
import { forgiveSpent } from './020-forgive-spent.ts'
import { tellCopiesApart } from './021-tell-copies-apart.ts'
import { indexUnresolved } from './022-index-unresolved.ts'
import { indexSilent } from './023-index-silent.ts'

/** Every step of schema `budget`, in order. */
export const migrations: readonly Migration[] = [
  createOutbox,
  createSeriesMarks,
  createBudgets,
  createSpendFacts,
  createAuditEntries,
  createDiscardedLetters,
  createRebuild,
  createGivenUpGaps,
  createLeases,
  createRaises,
  spanProjects,
  keepClaimedDimensions,
  makeOnce,
  createSeatBudgets,
  noteOrigins,
  createStops,
  exceptCopies,
  createAlerts,
  createMoreRequests,
  markQuotas,
  createProjectBalances,
  noteAlertsGivenUp,
  letParticipantsAsk,
  tellOfRequests,
  indexOutboxBeside([AuditRecorded.type]),
  forgiveSpent,
  tellCopiesApart,
  indexUnresolved,
  indexSilent,
]

/** The one schema of this service. */
export const databaseSchema = 'budget'
