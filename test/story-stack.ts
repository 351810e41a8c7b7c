import { after } from 'node:test'
import { startTestStack, type TestStack } from '@sluice/test-env'
import { type MailServer, startMailServer } from './mail-server.ts'
import { type Management, signIn } from './management.ts'

/** An installation with all services, and its admin. */
export interface StoryStack {
  stack: TestStack
  admin: Management
  /** By which it sends mail. */
  mail: MailServer
}

const ends: (() => void | Promise<void>)[] = []
let started: Promise<StoryStack> | undefined

/**
 * The installation that the stories of this process share, started with the first that asks: each of them only adds calls,
 * and has keys and budgets of its own.
 */
export function storyStack(): Promise<StoryStack> {
  started ??= start()
  return started
}

async function start(): Promise<StoryStack> {
  const scope = { after: (end: () => void | Promise<void>) => void ends.push(end) }
  const mail = await startMailServer(scope)
  const stack = await startTestStack(scope, {
    env: {
      GATEWAY_BATCH_POLL_MS: '100',
      GATEWAY_BACKGROUND_POLL_MS: '200',
      // What clients have left is read on to its end, which nobody waits for when all has been told.
      GATEWAY_DRAIN_MS: '1000',
      BUDGET_ALERT_POLL_MS: '2000',
      ANALYTICS_INSERT_WINDOW_MS: '450',
      SLUICE_SMTP_URL: mail.url,
      SLUICE_MAIL_FROM: 'Sluice <alerts@sluice.example>',
    },
  })
  return { stack, admin: await signIn(stack), mail }
}

after(async () => {
  for (const end of ends.reverse()) await end()
})
