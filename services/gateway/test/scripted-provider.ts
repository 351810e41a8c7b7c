import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** An answer to be played byte for byte. */
export interface ScriptedAnswer {
  status?: number
  /** Name, value, … as they go over the wire. */
  headers?: string[]
  /** Each is a write of its own, in a turn of the loop of its own. */
  chunks: readonly (Buffer | string)[]
  /** The connection breaks behind the last chunk. */
  breaks?: boolean
}

/** A provider that says exactly what a test wants said, to the request that names the script in `x-script`. */
export interface ScriptedProvider {
  url: string
  /** @returns the value for `x-script` */
  add: (answer: ScriptedAnswer) => string
  /** Requests so far. */
  readonly seen: readonly IncomingMessage[]
  /** Bytes of bodies that left for the network so far. */
  readonly written: number
  close: () => Promise<void>
}

export async function startScriptedProvider(): Promise<ScriptedProvider> {
  const scripts = new Map<string, ScriptedAnswer>()
  const seen: IncomingMessage[] = []
  let written = 0
  const server = createServer(async (request, response) => {
    seen.push(request)
    request.resume()
    const script = scripts.get(String(request.headers['x-script']))
    if (!script) {
      response.writeHead(404).end()
      return
    }
    response.writeHead(script.status ?? 200, script.headers ?? ['content-type', 'application/json'])
    for (const chunk of script.chunks) {
      if (response.destroyed) return
      await writeOut(response, chunk)
      written += Buffer.byteLength(chunk)
      await new Promise<void>(resolve => setImmediate(resolve))
    }
    if (script.breaks) response.destroy()
    else response.end()
  })
  // A connection that it lets go in the moment of the next request would be a provider that is not there.
  server.keepAliveTimeout = 120_000
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    add(answer) {
      const name = randomUUID()
      scripts.set(name, answer)
      return name
    },
    seen,
    get written() {
      return written
    },
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** Resolves when the kernel has the bytes, or the connection is gone. */
function writeOut(response: ServerResponse, chunk: Buffer | string): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      response.off('close', done)
      resolve()
    }
    response.once('close', done)
    response.write(chunk, done)
  })
}

/** The bytes in pieces of `size`, whatever they cut in two. */
export function inPieces(bytes: Buffer, size: number): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size))
  return pieces
}
