import { lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { isPublicAddress } from './public-address.ts'

/** Resolves, checks every address, and connects to a checked one: a name cannot be public for the check and private later. */
export const publicLookup: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error) return callback(error, '', 0)
    const list = addresses as unknown as { address: string; family: number }[]
    const bad = list.find(entry => !isPublicAddress(entry.address))
    const first = list[0]
    if (bad || !first) {
      const refused: NodeJS.ErrnoException = new Error(`${hostname} resolves to an address that is not public`)
      refused.code = 'EPRIVATEADDRESS'
      return callback(refused, '', 0)
    }
    if (options.all) (callback as unknown as (error: null, addresses: typeof list) => void)(null, list)
    else callback(null, first.address, first.family)
  })
}
