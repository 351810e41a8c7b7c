import { type OnReadOpts, type Server, Socket, type SocketConstructorOpts } from 'node:net'

/** A client's connection that is being read. */
export interface ClientReading {
  /** The connection from now on; the one that was accepted may be another. */
  readonly socket: Socket
  /** From now on what comes stands in the socket's stream, as in any socket. */
  stop: () => void
}

/** What Node's server gives each socket that it has accepted, and does not document. */
interface AcceptedSocket {
  _handle: unknown
  server: Server | null
  _server: Server | null
}

/**
 * Every connection reads into it, one at a time, and takes its bytes out: cheaper than memory of 64 kB for each read, and than
 * a stream around it. As large as what Node reads at once.
 */
const readBuffer = Buffer.allocUnsafeSlow(64 * 1024)

/**
 * Reads a connection that was accepted just now. What is no plain socket is read from its stream: with TLS, what comes is Node's
 * to decrypt.
 * @param onBytes given what has come; until it returns: who keeps any of it copies it
 */
export function readClient(accepted: Socket, onBytes: (bytes: Buffer) => void): ClientReading {
  if (accepted.constructor !== Socket) {
    accepted.on('data', onBytes)
    return { socket: accepted, stop: () => accepted.off('data', onBytes) }
  }
  let isStopped = false
  const onRead = (length: number): boolean => {
    const bytes = readBuffer.subarray(0, length)
    if (isStopped) return socket.push(Buffer.from(bytes))
    onBytes(bytes)
    return true
  }
  const socket = reopen(accepted, { buffer: readBuffer, callback: onRead })
  const stop = (): void => {
    isStopped = true
  }
  return { socket, stop }
}

/**
 * The same connection as a socket that reads in this way. A server offers no choice of that, so its connection moves to a
 * socket of our own, which counts as the server's: the way that Node itself hands connections to other processes.
 */
function reopen(accepted: Socket, onread: OnReadOpts): Socket {
  const from = accepted as unknown as AcceptedSocket
  const options = {
    handle: from._handle,
    onread,
    allowHalfOpen: accepted.allowHalfOpen,
    readableHighWaterMark: accepted.readableHighWaterMark,
    writableHighWaterMark: accepted.writableHighWaterMark,
  }
  const socket = new Socket(options as SocketConstructorOpts)
  const to = socket as unknown as AcceptedSocket
  to.server = from.server
  to._server = from._server
  from._handle = null
  from._server = null
  return socket
}
