import assert from 'node:assert/strict'
import { eventually, type TestStack } from '@sluice/test-env'
import type { Management } from './management.ts'

/** A project beside the first one. */
export interface NewProject {
  projectId: string
  apiKey: string
}

/** Makes a project with these settings and a key of its own, and waits until the gateway knows it. */
export async function newProject(
  stack: TestStack,
  admin: Management,
  settings: Record<string, unknown>,
): Promise<NewProject> {
  const project = await admin.call<{ id: string }>('POST', '/accounts/projects', { name: 'made by a test', settings })
  assert.ok(project.status < 300, JSON.stringify(project.body))
  const projectId = project.body.id
  const key = await admin.call<{ value: string }>('POST', `/accounts/projects/${projectId}/api-keys`, { name: 'test' })
  assert.ok(key.status < 300, JSON.stringify(key.body))
  const apiKey = key.body.value
  await eventually(async () => {
    const answer = await fetch(`${stack.url}/v1/models`, { headers: { 'x-api-key': apiKey } })
    await answer.arrayBuffer()
    return answer.status === 200
  })
  return { projectId, apiKey }
}
