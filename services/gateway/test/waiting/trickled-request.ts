import { once } from 'node:events'
import { connect } from 'node:net'

export interface TrickledRequest {
  /** Sends the rest of the body and reads the answer. */
  finish: () => Promise<{ status: number; text: string }>
}

/** A POST of which the gateway has the head and half of the body. It has said that it goes on with it. */
export async function trickle(
  origin: string,
  path: string,
  credential: string,
  { type, body }: { type: string; body: Buffer },
): Promise<TrickledRequest> {
  const { hostname, port } = new URL(origin)
  const socket = connect(Number(port), hostname)
  const head = [
    `POST ${path} HTTP/1.1`,
    `Host: ${hostname}:${port}`,
    `Authorization: Bearer ${credential}`,
    `Content-Type: ${type}`,
    `Content-Length: ${body.length}`,
    'Connection: close',
    // Its answer says that the head has been read and the call begun.
    'Expect: 100-continue',
  ]
  let text = ''
  socket.setEncoding('latin1')
  socket.on('data', (chunk: string) => {
    text += chunk
  })
  // Who is refused in the middle may find the connection closed: what was said until then counts.
  socket.on('error', () => {})
  const closed = once(socket, 'close')
  socket.write(`${head.join('\r\n')}\r\n\r\n`)
  while (!text.startsWith('HTTP/1.1 100 Continue\r\n\r\n') && !socket.destroyed)
    await Promise.race([once(socket, 'data'), closed])
  const half = body.length >> 1
  socket.write(body.subarray(0, half))
  return {
    async finish() {
      socket.write(body.subarray(half))
      await closed
      const answer = text.replace(/^HTTP\/1\.1 100 Continue\r\n\r\n/, '')
      return { status: Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1]), text: answer }
    },
  }
}
