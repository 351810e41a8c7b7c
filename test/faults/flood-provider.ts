import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * A provider that answers as fast as it is taken: with a stream, or where none is asked for with one plain answer as long. It tells
 * no usage until the end.
 */
export interface FloodProvider {
  url: string
  /** Bytes that have left so far. */
  readonly sent: number
  close: () => Promise<void>
}

const usage = '{"prompt_tokens":1,"completion_tokens":10000000,"total_tokens":10000001}'
const plainStart =
  '{"id":"c","object":"chat.completion","model":"gpt-4o-mini","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"'
const plainEnd = `"}}],"usage":${usage}}`

/** @param bytesPerCall length of each answer */
export async function startFloodProvider(bytesPerCall: number): Promise<FloodProvider> {
  const text = 'x'.repeat(32_768)
  const event = Buffer.from(`data: {"id":"c","choices":[{"index":0,"delta":{"content":"${text}"}}]}\n\n`)
  const piece = Buffer.from(text)
  let sent = 0
  const server = createServer(async (request, response) => {
    let asked = ''
    for await (const chunk of request) asked += chunk
    const isStream = asked.includes('"stream":true')
    const part = isStream ? event : piece
    response.on('error', () => {})
    let goOn = () => {}
    response.on('drain', () => goOn())
    response.on('close', () => goOn())
    response.writeHead(200, { 'content-type': isStream ? 'text/event-stream' : 'application/json' })
    if (!isStream) response.write(plainStart)
    for (let written = 0; written < bytesPerCall && !response.destroyed; written += part.length) {
      sent += part.length
      if (response.write(part)) continue
      await new Promise<void>(resolve => {
        goOn = resolve
      })
    }
    response.end(isStream ? 'data: [DONE]\n\n' : plainEnd)
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
