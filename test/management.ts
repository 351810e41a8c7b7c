import type { TestStack } from '@sluice/test-env'

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

/** Signs the bootstrap admin in. */
export async function signIn(stack: TestStack): Promise<Management> {
  const answer = await fetch(`${stack.url}/accounts/sign-in`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: stack.admin.email, password: stack.admin.password }),
  })
  if (!answer.ok) throw new Error(`sign-in: ${answer.status} ${await answer.text()}`)
  const { access_token: token } = (await answer.json()) as { access_token: string }
  return {
    token,
    project: `/accounts/projects/${stack.projectId}`,
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
