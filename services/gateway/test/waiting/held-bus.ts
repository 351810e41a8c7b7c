import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A way to NATS on which one client's words can be held back; what NATS says goes on. */
export interface HeldBus {
  url: string
  /** Holds back what a client says from these words on. @returns when they were said */
  holdFrom: (words: string) => Promise<void>
  release: () => void
  close: () => void
}

export async function startHeldBus(natsUrl: string): Promise<HeldBus> {
  const nats = new URL(natsUrl)
  let wanted: { words: string; onSaid: () => void } | undefined
  let held: { to: Socket; bytes: Buffer[] } | undefined
  const sockets = new Set<Socket>()
  const server = createServer(client => {
    const upstream = connect(Number(nats.port), nats.hostname)
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
        wanted.onSaid()
        wanted = undefined
      }
      if (held?.to === upstream) held.bytes.push(bytes)
      else upstream.write(bytes)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `nats://127.0.0.1:${(server.address() as AddressInfo).port}`,
    holdFrom: words =>
      new Promise(resolve => {
        wanted = { words, onSaid: resolve }
      }),
    release() {
      for (const bytes of held?.bytes ?? []) held?.to.write(bytes)
      held = undefined
    },
    close() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}
