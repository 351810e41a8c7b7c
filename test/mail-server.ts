import type { AddressInfo } from 'node:net'
import type { TestScope } from '@sluice/test-env'
import { SMTPServer } from 'smtp-server'

/** A mail as it came to a mail server. */
export interface Mail {
  to: string[]
  /** Its lines of text may be broken where mail breaks them. */
  raw: string
}

export interface MailServer {
  url: string
  /** Those that have come to an address, with its lines whole again. */
  mailsTo: (address: string) => string[]
}

/** A mail server on this machine, which takes what comes and keeps it. */
export async function startMailServer(t: TestScope): Promise<MailServer> {
  const mails: Mail[] = []
  const server = new SMTPServer({
    disabledCommands: ['AUTH', 'STARTTLS'],
    onData(stream, { envelope }, done) {
      const chunks: Buffer[] = []
      stream.on('data', chunk => chunks.push(chunk))
      stream.on('end', () => {
        mails.push({ to: envelope.rcptTo.map(({ address }) => address), raw: Buffer.concat(chunks).toString() })
        done()
      })
    },
  })
  // A service that is killed leaves its connection open.
  server.on('error', () => undefined)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => new Promise<void>(resolve => server.close(() => resolve())))
  return {
    url: `smtp://127.0.0.1:${(server.server.address() as AddressInfo).port}`,
    mailsTo: address => mails.filter(({ to }) => to.includes(address)).map(({ raw }) => raw.replaceAll('=\r\n', '')),
  }
}
