/** Set for a run of every test at its full size. */
export const fullSizeVariable = 'SLUICE_TEST_FULL'
const isFull = process.env[fullSizeVariable] === '1'

/**
 * What a test is run with: `small` in `npm test`, where each kind comes once; `full` in `npm test -- --full` and
 * `npm run prove suite`.
 */
export function sized<T>({ small, full }: { small: T; full: T }): T {
  return isFull ? full : small
}
