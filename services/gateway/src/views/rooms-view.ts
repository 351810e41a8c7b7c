import { type Bus, followBucket } from '@sluice/bus'
import { Room } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'

/** How a room stands: anyone with a token or a key may be in it, nobody, or of those with tokens of the server's these members. */
export type RoomState = 'open' | 'closed' | ReadonlySet<string>

/**
 * The rooms that the server has made, in memory, from KV `rooms`: as fresh as `keys-view.ts` says. A project may have a hundred
 * thousand: of each no more is kept than its name and how it stands.
 */
export interface RoomsView {
  /** Undefined: the server has made no such room. */
  find: (projectId: string, room: string) => RoomState | undefined
  freshAtMs: () => number
  close: () => Promise<void>
}

/** @param onChange called after a room has changed */
export async function followRooms(
  bus: Bus,
  log: Logger,
  onChange: (projectId: string, room: string, state: RoomState | undefined) => void,
): Promise<RoomsView> {
  const projects = new Map<string, Map<string, RoomState>>()

  const keep = (projectId: string, room: string, state: RoomState | undefined): void => {
    const rooms = projects.get(projectId) ?? new Map<string, RoomState>()
    if (state) rooms.set(room, state)
    else rooms.delete(room)
    if (rooms.size > 0) projects.set(projectId, rooms)
    else projects.delete(projectId)
    onChange(projectId, room, state)
  }

  const view = await followBucket(bus, 'rooms', Room, {
    log,
    keep: false,
    onChange: (key, room) => {
      const [projectId = '', name = ''] = key.split('.')
      keep(projectId, name, room && stateOf(room))
    },
  })
  return {
    find: (projectId, room) => projects.get(projectId)?.get(room),
    freshAtMs: view.freshAtMs,
    close: view.close,
  }
}

function stateOf({ closed, member_ids }: Room): RoomState {
  if (closed) return 'closed'
  return member_ids ? new Set(member_ids) : 'open'
}
