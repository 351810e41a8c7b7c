import type WebSocket from 'ws'

const pingEveryMs = 20_000
const pongWithinMs = 10_000

/**
 * Pings a client and ends it where no answer comes: a peer that vanished without a word would be kept for ever. One with
 * bytes still waiting is judged by whether it takes them, not by this.
 * @param onTick called with each ping
 */
export function keepAlive(socket: WebSocket, onTick: () => void): void {
  let pongTimer: NodeJS.Timeout | undefined
  const pinging = setInterval(() => {
    onTick()
    if (socket.readyState !== socket.OPEN || socket.bufferedAmount > 0) return
    socket.ping()
    pongTimer ??= setTimeout(() => socket.terminate(), pongWithinMs)
  }, pingEveryMs)
  const hear = (): void => {
    clearTimeout(pongTimer)
    pongTimer = undefined
  }
  socket.on('pong', hear)
  socket.on('message', hear)
  socket.once('close', () => {
    clearInterval(pinging)
    clearTimeout(pongTimer)
  })
}
