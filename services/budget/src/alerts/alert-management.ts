import type { Kysely } from '@sluice/postgres'
import type { Rest } from '../budget-management-store.ts'
import type { BudgetTables } from '../db/schema.ts'
import { findAlert, listAlerts, sendAgain, type ToldAlert } from './alert-store.ts'
import type { AlertDestination } from './destination.ts'
import {
  changeDestination,
  createDestination,
  deleteDestination,
  findDestination,
  listDestinations,
  testDestination,
} from './destination-store.ts'

/** What the routes ask of the stores of alerts. */
export interface AlertManagement {
  createDestination: (...args: Rest<Parameters<typeof createDestination>>) => Promise<AlertDestination>
  changeDestination: (...args: Rest<Parameters<typeof changeDestination>>) => Promise<AlertDestination>
  deleteDestination: (...args: Rest<Parameters<typeof deleteDestination>>) => Promise<void>
  testDestination: (...args: Rest<Parameters<typeof testDestination>>) => Promise<string>
  listDestinations: (...args: Rest<Parameters<typeof listDestinations>>) => Promise<AlertDestination[]>
  findDestination: (...args: Rest<Parameters<typeof findDestination>>) => Promise<AlertDestination>
  list: (...args: Rest<Parameters<typeof listAlerts>>) => Promise<ToldAlert[]>
  find: (...args: Rest<Parameters<typeof findAlert>>) => Promise<ToldAlert>
  sendAgain: (...args: Rest<Parameters<typeof sendAgain>>) => Promise<ToldAlert>
}

export function manageAlerts(db: Kysely<BudgetTables>): AlertManagement {
  return {
    createDestination: (...args) => createDestination(db, ...args),
    changeDestination: (...args) => changeDestination(db, ...args),
    deleteDestination: (...args) => deleteDestination(db, ...args),
    testDestination: (...args) => testDestination(db, ...args),
    listDestinations: (...args) => listDestinations(db, ...args),
    findDestination: (...args) => findDestination(db, ...args),
    list: (...args) => listAlerts(db, ...args),
    find: (...args) => findAlert(db, ...args),
    sendAgain: (...args) => sendAgain(db, ...args),
  }
}
