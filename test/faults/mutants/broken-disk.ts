/**
 * Loaded before the gateway: while the file `SLUICE_FAULT_DISK` exists, its text says what the disk below the journal does.
 * `full`: there is no room; what is allocated already can be overwritten, as on a real one. `eio`: writes and syncs fail.
 * `hang`: syncs do not come back until it is over; `hang after one`: the first one still does.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const flag = process.env.SLUICE_FAULT_DISK ?? ''
const journals = new Set<number>()
const { openSync, closeSync, writeSync, statfsSync, fdatasync, fdatasyncSync } = fs

function fault(): string | undefined {
  return fs.existsSync(flag) ? fs.readFileSync(flag, 'utf8') : undefined
}

function systemError(code: string, syscall: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${syscall}`), { code, syscall })
}

fs.openSync = (...args) => {
  const fd = openSync(...args)
  if (/(\.journal|\/reserve)$/.test(String(args[0]))) journals.add(fd)
  return fd
}

fs.closeSync = fd => {
  journals.delete(fd)
  closeSync(fd)
}

fs.writeSync = ((fd: number, buffer: Buffer, offset: number, length: number, position: number) => {
  const grows = () => position + length > fs.fstatSync(fd).size
  if (journals.has(fd)) {
    const now = fault()
    if (now === 'full' && grows()) throw systemError('ENOSPC', 'write')
    if (now === 'eio') throw systemError('EIO', 'write')
  }
  return writeSync(fd, buffer, offset, length, position)
}) as typeof fs.writeSync

fs.fdatasync = ((fd: number, done: fs.NoParamCallback) => {
  const now = fault()
  if (now === 'hang after one') fs.writeFileSync(flag, 'hang')
  if (now === 'eio') setImmediate(done, systemError('EIO', 'fdatasync'))
  else if (now === 'hang') setTimeout(() => fs.fdatasync(fd, done), 20)
  else fdatasync(fd, done)
}) as typeof fs.fdatasync

fs.fdatasyncSync = fd => {
  if (fault() === 'eio') throw systemError('EIO', 'fdatasync')
  fdatasyncSync(fd)
}

fs.statfsSync = ((path: fs.PathLike) => {
  const room = statfsSync(path)
  return fault() === 'full' ? Object.assign(room, { bavail: 0, bfree: 0 }) : room
}) as typeof fs.statfsSync

syncBuiltinESMExports()
