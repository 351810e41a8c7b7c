import { type Bus, followBucket } from '@sluice/bus'
import { Room } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'

/** How a room stands: anyone with a token or a key may be in it, nobody, or those with tokens of the server's as it says. */
export type RoomState = 'open' | 'closed' | RoomGrants

/** Who may be in a room and what they may call there, of those with tokens of the server's. */
export interface RoomGrants {
  /** Undefined: anyone. */
  members: ReadonlySet<string> | undefined
  /** The models of those whom their grant limits; undefined: it limits nobody. */
  models: ReadonlyMap<string, readonly string[]> | undefined
}

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

function stateOf({ closed, member_ids, member_models }: Room): RoomState {
  if (closed) return 'closed'
  if (!member_ids && !member_models) return 'open'
  return {
    members: member_ids && new Set(member_ids),
    models: member_models && new Map(Object.entries(member_models)),
  }
}
