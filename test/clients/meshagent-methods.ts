import { createRequire } from 'node:module'
import type * as MeshagentClient from '@meshagent/meshagent'

// Required, since the package's build for import does not load under Node.
export const { ApiScope, Meshagent }: typeof MeshagentClient = createRequire(import.meta.url)('@meshagent/meshagent')
type Client = MeshagentClient.Meshagent

/** The methods of the client that ask for what Sluice is about. */
export const ours = [
  ...['createProject', 'listProjects', 'getProject', 'getProjectRole', 'getStatus', 'updateProjectSettings'],
  ...['addUserToProject', 'removeUserFromProject', 'getUsersInProject', 'getUsersInProjectPage'],
  ...['getUserProfile', 'updateUserProfile'],
  ...['createApiKey', 'listApiKeys', 'deleteApiKey'],
  ...['createRoom', 'getRoom', 'updateRoom', 'deleteRoom', 'listRooms', 'connectRoom'],
  ...['createRoomGrant', 'createRoomGrantByEmail', 'updateRoomGrant', 'deleteRoomGrant', 'getRoomGrant'],
  ...['listRoomGrants', 'listRoomGrantsByUser', 'listRoomGrantsByRoom'],
  ...['listUniqueRoomsWithGrants', 'listUniqueUsersWithGrants', 'listUniqueUsersWithGrantsPage'],
  ...['getPricing', 'getBalance', 'getRecentTransactions', 'getUsage', 'getSubscription'],
  ...['setAutoRecharge', 'getCheckoutUrl', 'getCreditsCheckoutUrl'],
]

/** Parts of the client that send nothing themselves. */
const inner = /^(?:constructor|buildUrl|request|parse\w+|to\w+|serialize\w+|encode\w+)$/

/** Every method of the client by which it asks a server. */
export function everyMethod(): string[] {
  return Object.getOwnPropertyNames(Meshagent.prototype).filter(name => !inner.test(name))
}

/** A client that notes which of its methods were called from outside. */
export function notingClient(client: Client): { client: Client; called: Set<string> } {
  const called = new Set<string>()
  const noting = new Proxy(client, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => {
        called.add(String(name))
        return Reflect.apply(value, target, args)
      }
    },
  })
  return { client: noting, called }
}

/** Calls a method that is not ours with arguments that get it as far as its request. */
export async function callByName(client: Client, name: string, projectId: string): Promise<unknown> {
  const method: unknown = Reflect.get(client, name)
  if (typeof method !== 'function') throw new Error(`${name} is no method`)
  const id = 'some-id'
  const named = { id, projectId, roomName: 'some-room', address: id, path: id, type: 'keys', data: new Uint8Array() }
  const takesNames = /^async \w+\((?:params|\{)/.test(String(method))
  const args = takesNames ? [named] : name === 'updateSecret' ? [projectId, named] : [projectId, id, named, named]
  return Reflect.apply(method, client, args)
}
