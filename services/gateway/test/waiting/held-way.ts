import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A way to a server on which one client's words, or all that the server says, can be held back. */
export interface HeldWay {
  /** With its port. */
  host: string
  /** Holds back what a client says from these words on. @returns what it said with them, when it has */
  holdFrom: (words: string) => Promise<string>
  /** Holds back what the server says from now on, to every client. */
  holdAnswers: () => void
  release: () => void
  close: () => void
}

export async function startHeldWay(serverUrl: string): Promise<HeldWay> {
  const { hostname, port } = new URL(serverUrl)
  let wanted: { words: string; onSaid: (said: string) => void } | undefined
  let held: { to: Socket; bytes: Buffer[] } | undefined
  let isSilent = false
  const sockets = new Set<Socket>()
  const clients = new Set<Socket>()
  const server = createServer(client => {
    clients.add(client)
    client.on('close', () => clients.delete(client))
    if (isSilent) client.cork()
    const upstream = connect(Number(port), hostname)
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => other.destroy())
      socket.on('close', () => other.destroy())
    }
    upstream.pipe(client)
    client.on('data', (bytes: Buffer) => {
      if (wanted && bytes.includes(wanted.words)) {
        held = { to: upstream, bytes: [] }
        wanted.onSaid(bytes.toString('latin1'))
        wanted = undefined
      }
      if (held?.to === upstream) held.bytes.push(bytes)
      else upstream.write(bytes)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    holdFrom: words =>
      new Promise(resolve => {
        wanted = { words, onSaid: resolve }
      }),
    holdAnswers() {
      if (isSilent) return
      isSilent = true
      for (const client of clients) client.cork()
    },
    release() {
      if (isSilent) for (const client of clients) client.uncork()
      isSilent = false
      for (const bytes of held?.bytes ?? []) held?.to.write(bytes)
      held = undefined
    },
    close() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}
