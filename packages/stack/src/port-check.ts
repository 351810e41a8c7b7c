import { createServer } from 'node:net'
import { StackError } from './stack-error.ts'

/** @throws StackError where the public port cannot be listened on */
export async function checkPortIsFree(host: string, port: number): Promise<void> {
  const server = createServer()
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port, exclusive: true }, resolve)
    })
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code
    if (code === 'EADDRINUSE')
      throw new StackError(
        `Port ${port} is in use by another program. Stop it, or choose one: SLUICE_PORT=8081 npm start`,
      )
    if (code === 'EACCES')
      throw new StackError(`Port ${port} is reserved for root. Choose one above 1023: SLUICE_PORT=8080 npm start`)
    throw new StackError(`Port ${port} on ${host} cannot be used (${code}).`, { cause })
  } finally {
    await new Promise(resolve => server.close(resolve))
  }
}
