import { readFileSync } from 'node:fs'
import type { RequestListener, Server, ServerOptions } from 'node:http'
import { createServer as createTlsServer } from 'node:https'

// Imported as a module, it would load Node's own `fetch` as well, which the gateway does not use.
const { createServer: createHttpServer } = process.getBuiltinModule('node:http')

/** Slow handshakes, heads and bodies are cut off, an upload of 25 MB at 1 Mbit/s is not; how long an answer takes is not limited here. */
const limits = {
  headersTimeout: 15_000,
  requestTimeout: 300_000,
  keepAliveTimeout: 72_000,
  // What may wait for each client that reads slowly before its provider is slowed down.
  highWaterMark: 16 * 1024,
}
const tlsLimits = { ...limits, handshakeTimeout: 15_000 }

/** Where the certificate and the key of the public listener stand, as PEM. */
export interface TlsFiles {
  certFile: string
  keyFile: string
}

/** Node's server for clients, with TLS where there are files for it. Listens to nothing. @throws where a file cannot be read or used */
export function createClientServer(
  tls: TlsFiles | undefined,
  options: ServerOptions,
  listener: RequestListener,
): Server {
  if (!tls) return createHttpServer({ ...limits, ...options }, listener)
  const { certFile, keyFile } = tls
  return createTlsServer(
    { ...tlsLimits, ...options, cert: readFileSync(certFile), key: readFileSync(keyFile) },
    listener,
  )
}
