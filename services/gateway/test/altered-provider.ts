import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** An answer on its way from the simulated provider. */
export interface PassingAnswer {
  status: number
  body: string
  /** It says no more and does not end. */
  stalls?: boolean
}

/** The simulated provider behind a way on which a test may change what it answers. */
export interface AlteredProvider {
  url: string
  /** Asked about each answer, which waits for it; undefined leaves it as it is. */
  alter: (
    method: string,
    path: string,
    answer: PassingAnswer,
  ) => PassingAnswer | undefined | Promise<PassingAnswer | undefined>
  /** `method path` of each request so far. */
  readonly seen: readonly string[]
  close: () => Promise<void>
}

export async function startAlteredProvider(simulatorUrl: string): Promise<AlteredProvider> {
  const seen: string[] = []
  const server = createServer(async (request, response) => {
    const { method = 'GET', url = '/' } = request
    seen.push(`${method} ${url}`)
    const headers = new Headers()
    for (const name of ['content-type', 'authorization', 'x-api-key', 'anthropic-version']) {
      const value = request.headers[name]
      if (typeof value === 'string') headers.set(name, value)
    }
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const answer = await fetch(`${simulatorUrl}${url}`, {
      method,
      headers,
      ...(chunks.length > 0 && { body: Buffer.concat(chunks) }),
    })
    const told: PassingAnswer = { status: answer.status, body: await answer.text() }
    const { status, body, stalls = false } = (await provider.alter(method, url, told)) ?? told
    response.writeHead(status, { 'content-type': answer.headers.get('content-type') ?? 'application/json' })
    if (stalls) response.write(body)
    else response.end(body)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const provider: AlteredProvider = {
    url: `http://127.0.0.1:${port}`,
    alter: () => undefined,
    seen,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return provider
}
