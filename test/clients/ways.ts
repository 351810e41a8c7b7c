import type { ClientCalls } from './client-calls.ts'

/** How a call goes: to its end, or left in the middle. */
export const modes = ['plain', 'streamed', 'plain, left', 'streamed, left'] as const
export type Mode = (typeof modes)[number]

/** A path of a client in one of its modes. */
export interface Way {
  row: ClientCalls
  mode: Mode
}

/** Every path in every mode that it has. */
export function everyWay(rows: readonly ClientCalls[]): Way[] {
  return rows.flatMap(row => modes.filter(mode => has(row, mode)).map(mode => ({ row, mode })))
}

function has(row: ClientCalls, mode: Mode): boolean {
  if (row.stays && mode.endsWith('left')) return false
  return row[mode.startsWith('plain') ? 'plain' : 'streamed'] !== undefined
}

/** Every path once, its modes by turns: each endpoint comes in each mode that it has, and so does each client. */
export function eachPathOnce(rows: readonly ClientCalls[]): Way[] {
  const taken: Way[] = []
  const timesTaken = ({ row, mode }: Way) => {
    const alike = taken.filter(way => way.mode === mode)
    return [
      alike.filter(way => endpointOf(way.row) === endpointOf(row)).length,
      alike.filter(way => way.row.client === row.client).length,
    ] as const
  }
  for (const row of rows) {
    const [seldom] = everyWay([row])
      .map(way => ({ way, times: timesTaken(way) }))
      .sort(({ times: a }, { times: b }) => a[0] - b[0] || a[1] - b[1])
    if (seldom) taken.push(seldom.way)
  }
  for (const way of everyWay(rows)) if (timesTaken(way).includes(0)) taken.push(way)
  return taken
}

/** The name of its endpoint in events. */
export function endpointOf({ endpoint }: ClientCalls): string {
  return endpoint.split(':')[0] ?? endpoint
}
