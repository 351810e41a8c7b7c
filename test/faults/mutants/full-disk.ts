/**
 * Loaded before the gateway: while the file `SLUICE_FAULT_FULL_DISK` exists, the disk below its journal has no room. What is
 * allocated already can be overwritten, as on a real one.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const flag = process.env.SLUICE_FAULT_FULL_DISK ?? ''
const isFull = () => fs.existsSync(flag)
const journals = new Set<number>()
const { openSync, closeSync, writeSync, statfsSync } = fs

function noSpace(): Error {
  return Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC', syscall: 'write' })
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
  if (journals.has(fd) && isFull() && grows()) throw noSpace()
  return writeSync(fd, buffer, offset, length, position)
}) as typeof fs.writeSync

fs.statfsSync = ((path: fs.PathLike) => {
  const room = statfsSync(path)
  return isFull() ? Object.assign(room, { bavail: 0, bfree: 0 }) : room
}) as typeof fs.statfsSync

syncBuiltinESMExports()
