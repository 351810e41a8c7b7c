import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { listSegments } from './segment.ts'

/** Which gateway a journal directory belongs to, and which run of it this is. */
export interface GatewayIdentity {
  gatewayId: string
  epoch: number
}

/**
 * Begins the next run of the directory's gateway: its id is random and lives in the directory, so an empty directory is a
 * new gateway; each run has the next epoch, on disk before anything is numbered in it. The caller holds the directory's lock.
 */
export function beginEpoch(directory: string): GatewayIdentity {
  const known = readIdentity(directory)
  const gatewayId = known?.gatewayId ?? `gw_${randomBytes(12).toString('hex')}`
  const epoch = (known?.epoch ?? 0) + 1
  // The epoch goes first: an id without its epoch would number its events anew.
  replaceFile(directory, 'epoch', `${epoch}\n`)
  if (!known) replaceFile(directory, 'gateway-id', `${gatewayId}\n`)
  return { gatewayId, epoch }
}

/** Makes the directory a new gateway's: its runs are somebody else's now. */
export function forgetGateway(directory: string): void {
  for (const { path } of listSegments(directory)) rmSync(path, { force: true })
  for (const name of ['gateway-id', 'epoch']) rmSync(join(directory, name), { force: true })
  syncDirectory(directory)
}

/** The directory's gateway and its latest epoch. Undefined where there is none, or where the latest epoch cannot be told. */
export function readIdentity(directory: string): GatewayIdentity | undefined {
  const gatewayId = readText(join(directory, 'gateway-id'))
  if (gatewayId === undefined || !/^gw_[0-9a-f]{24}$/.test(gatewayId)) return undefined
  const written = Number(readText(join(directory, 'epoch')) ?? 0)
  const seen = listSegments(directory).reduce((highest, segment) => Math.max(highest, segment.epoch), 0)
  const epoch = Math.max(Number.isSafeInteger(written) ? written : 0, seen)
  return epoch > 0 ? { gatewayId, epoch } : undefined
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** After a power cut the file holds the old text or the new one, never neither. */
function replaceFile(directory: string, name: string, text: string): void {
  const path = join(directory, name)
  const fd = openSync(`${path}.new`, 'w', 0o600)
  try {
    writeSync(fd, text)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(`${path}.new`, path)
  syncDirectory(directory)
}

/** Makes created, renamed and removed names of a directory durable. */
export function syncDirectory(directory: string): void {
  const fd = openSync(directory, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
