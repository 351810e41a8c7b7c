import { eventually, type TestStack } from '@sluice/test-env'

/** A project admin's hands: management calls through the public origin. */
export interface Management {
  call: <T = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
  ) => Promise<{ status: number; body: T }>
  /** The admin's session. */
  token: string
  /** Path of the bootstrap project. */
  project: string
}

/** Signs the bootstrap admin in, and waits until each service knows the session: they hear of it a moment later. */
export async function signIn(stack: TestStack): Promise<Management> {
  const answer = await fetch(`${stack.url}/accounts/sign-in`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: stack.admin.email, password: stack.admin.password }),
  })
  if (!answer.ok) throw new Error(`sign-in: ${answer.status} ${await answer.text()}`)
  const { access_token: token } = (await answer.json()) as { access_token: string }
  const project = `/accounts/projects/${stack.projectId}`
  for (const path of ['budgets', 'balance', 'usage'])
    await eventually(async () => {
      const known = await fetch(`${stack.url}${project}/${path}`, { headers: { authorization: `Bearer ${token}` } })
      await known.arrayBuffer()
      return known.status !== 401
    })
  return {
    token,
    project,
    async call<T>(method: string, path: string, body?: unknown) {
      const response = await fetch(`${stack.url}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      const text = await response.text()
      return { status: response.status, body: (text === '' ? {} : JSON.parse(text)) as T }
    },
  }
}
