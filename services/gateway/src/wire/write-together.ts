import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

/** Larger ones are written as they are: a second write costs less than to copy them. */
const maxTogetherBytes = 24 * 1024

/** What is put together for a write stands here for as long as that write takes: the system takes it at once, nearly always. */
let shared = Buffer.allocUnsafeSlow(maxTogetherBytes)

/**
 * Writes a head, bytes and what ends them, in one write where they are small: one costs more than to copy 16 kB.
 * @param head latin1, as `tail` is: in pieces, since putting them together costs as much as writing them
 * @returns false: the next bytes are to wait for the socket's `drain`
 */
export function writeTogether(socket: Socket, head: readonly string[], bytes: Uint8Array, tail = ''): boolean {
  const headLength = lengthOf(head)
  const tailAt = headLength + bytes.length
  const length = tailAt + tail.length
  if (length > maxTogetherBytes) return writeApart(socket, head.join(''), bytes, tail)
  // Behind what waits already, and with TLS, it is not taken at once.
  const waits = socket.writableLength > 0 || socket instanceof TLSSocket
  const all = waits ? Buffer.allocUnsafe(length) : shared.subarray(0, length)
  let at = 0
  for (const piece of head) at += all.write(piece, at, 'latin1')
  all.set(bytes, headLength)
  if (tail !== '') all.write(tail, tailAt, 'latin1')
  const mayGoOn = socket.write(all)
  // The rest is read from there when the other side takes it.
  if (!waits && socket.writableLength > 0) shared = Buffer.allocUnsafeSlow(maxTogetherBytes)
  return mayGoOn
}

function lengthOf(head: readonly string[]): number {
  let length = 0
  for (const piece of head) length += piece.length
  return length
}

function writeApart(socket: Socket, head: string, bytes: Uint8Array, tail: string): boolean {
  socket.cork()
  let mayGoOn = socket.write(head, 'latin1')
  mayGoOn = socket.write(bytes)
  if (tail !== '') mayGoOn = socket.write(tail, 'latin1')
  socket.uncork()
  return mayGoOn
}
