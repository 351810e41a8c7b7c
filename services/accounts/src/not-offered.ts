/** What a project has in MeshAgent and not here, by the segment of its path. */
const surfaces = new Map([
  ['shares', 'shares of rooms'],
  ['sessions', 'sessions of rooms: rooms are names that calls are made in'],
  ['webhooks', 'webhooks'],
  ['mailboxes', 'mailboxes'],
  ['feeds', 'feeds'],
  ['llm-loggers', 'copies of traffic: prompts and completions are not kept'],
  ['repositories', 'repositories'],
  ['services', 'services: it runs no programs'],
  ['secrets', 'secrets for programs. Credentials at providers are integrations'],
  ['external-oauth', 'OAuth registrations at other services'],
  ['oauth', 'OAuth clients'],
  ['scheduled-tasks', 'scheduled tasks'],
  ['routes', 'routes of rooms'],
])

/** Names what a client of MeshAgent asks for that Sluice, which passes calls on and counts them, has not. */
export function nameNotOffered(path: string): { code: string; message: string } | undefined {
  const [, segment] = /^\/accounts\/projects\/[^/]+\/(?:rooms\/[^/]+\/)?([a-z-]+)(?:\/|$)/.exec(path) ?? []
  const what = segment === undefined ? undefined : surfaces.get(segment)
  return what === undefined ? undefined : { code: 'not_offered', message: `Sluice has no ${what}.` }
}
