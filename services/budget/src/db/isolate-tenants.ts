import { type Isolation, isolateSchema, type Kysely, scopedAccount, scopedProject } from '@sluice/postgres'
import { databaseSchema } from './migrations/index.ts'
import type { BudgetTables } from './schema.ts'

const spansProjects = `project_id is null and account_id = ${scopedAccount}`
/** Budgets of the project, and those of its account that span projects, since calls of the project meet them. */
const seen = `project_id = ${scopedProject} or ${spansProjects}`
/** A project's requests change its own alone; those of an account, which name no project, what spans projects. */
const changed = `project_id = ${scopedProject} or ${scopedProject} is null and ${spansProjects}`
/** What hangs on a budget belongs to whom the budget does, whose own policy says who sees it. */
const hangsOn = (table: string, condition: string) =>
  `exists (select from budgets where budgets.budget_id = ${table}.budget_id and (${condition}))`
const ofDestination = (table: string) =>
  `exists (select from alert_destinations d where d.destination_id = ${table}.destination_id)`
const ofBudget = (table: string) => ({ rows: hangsOn(table, 'true'), writes: hangsOn(table, changed) })

type Table =
  | keyof BudgetTables
  | 'outbox'
  | 'migrations'
  | 'series_marks'
  | 'discarded_letters'
  | 'given_up_gaps'
  | 'rebuild'

/** What requests may do, under the role that they work under. Usage, leases and jobs are of all projects: the owner's work. */
const tables: Isolation<Table> = {
  budgets: { may: ['select', 'insert', 'update'], rows: seen, writes: changed },
  budgets_in_force: { may: ['select'], view: true },
  budget_raises: { may: ['select', 'insert'], ...ofBudget('budget_raises') },
  budget_windows: { may: ['select', 'insert', 'update'], ...ofBudget('budget_windows') },
  cutoffs: { may: ['select', 'insert', 'update'], ...ofBudget('cutoffs') },
  leases: { may: ['select', 'insert', 'update'], ...ofBudget('leases') },
  spend_facts: {
    may: ['select'],
    rows: `project_id = ${scopedProject} or ${scopedProject} is null and account_id = ${scopedAccount}`,
  },
  audit_entries: {
    may: ['select', 'insert'],
    rows: `${hangsOn('audit_entries', 'true')} or ${ofDestination('audit_entries')}`,
    writes: `${hangsOn('audit_entries', changed)} or ${ofDestination('audit_entries')}`,
  },
  alert_destinations: { may: ['select', 'insert', 'update'], rows: changed },
  alerts: { may: ['select', 'insert'], rows: changed },
  alert_deliveries: { may: ['select', 'insert', 'update'], rows: ofDestination('alert_deliveries') },
  fired_thresholds: { may: ['select', 'insert'], ...ofBudget('fired_thresholds') },
  stops: { may: ['select', 'insert', 'update'], rows: `project_id = ${scopedProject}` },
  // Of who asks, and where the budget spans projects, of the account.
  more_requests: {
    may: ['select', 'insert', 'update'],
    rows: `project_id = ${scopedProject} or ${scopedProject} is null and budget_project_id is null and account_id = ${scopedAccount}`,
  },
  made_once: { may: ['select', 'insert'], rows: `account_id = ${scopedAccount}` },
  // Which instance and which run of a gateway: of no tenant. A home is locked by its row, which takes the right to change it.
  partition_owners: { may: ['select', 'update'] },
  lease_gateways: { may: ['select'] },
  outbox: { may: ['insert'] },
  budget_instances: 'none',
  project_balances: 'none',
  settlements: 'none',
  dead_letters: 'none',
  discarded_letters: 'none',
  series_positions: 'none',
  series_marks: 'none',
  given_up_gaps: 'none',
  rebuild: 'none',
  migrations: 'none',
}

/** Puts up the second wall between projects, for what requests do (`isolateSchema`). */
export function isolateTenants(db: Kysely<BudgetTables>): Promise<void> {
  return isolateSchema(db, databaseSchema, tables)
}
