import type { IncomingMessage } from 'node:http'

/** How long a refused client may go on sending. */
export const restMs = 2_000

/** Most clients read no refusal while they send: what is on its way is taken and dropped, for a moment. */
export async function takeRest(request: IncomingMessage): Promise<void> {
  if (request.complete || request.destroyed) return
  request.resume()
  await new Promise<void>(resolve => {
    const timer = setTimeout(resolve, restMs)
    const done = (): void => {
      clearTimeout(timer)
      resolve()
    }
    request.once('end', done)
    request.once('close', done)
  })
}
