import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A provider that answers every call with a stream as fast as it is taken, and tells no usage. */
export interface FloodProvider {
  url: string
  /** Bytes that have left so far. */
  readonly sent: number
  close: () => Promise<void>
}

/** @param bytesPerCall length of each stream */
export async function startFloodProvider(bytesPerCall: number): Promise<FloodProvider> {
  const event = Buffer.from(`data: {"id":"c","choices":[{"index":0,"delta":{"content":"${'x'.repeat(32_768)}"}}]}\n\n`)
  let sent = 0
  const server = createServer(async (request, response) => {
    request.resume()
    response.on('error', () => {})
    let goOn = () => {}
    response.on('drain', () => goOn())
    response.on('close', () => goOn())
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (let written = 0; written < bytesPerCall && !response.destroyed; written += event.length) {
      sent += event.length
      if (response.write(event)) continue
      await new Promise<void>(resolve => {
        goOn = resolve
      })
    }
    response.end('data: [DONE]\n\n')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get sent() {
      return sent
    },
    close: async () => {
      server.closeAllConnections()
      server.close()
    },
  }
}
