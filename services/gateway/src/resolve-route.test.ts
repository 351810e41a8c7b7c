import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Integration, ManagedIntegration, Project } from '@sluice/contracts'
import { installationProject } from '@sluice/contracts'
import { createSecretBox } from '@sluice/runtime'
import { RouteResolver } from './resolve-route.ts'

const box = createSecretBox(Buffer.alloc(32, 1).toString('base64'))
const projectId = '0f1e2d3c-4b5a-6978-90ab-cdef12345678'

function sealed(credential: string, of: string, rowId: string) {
  return box.seal(credential, { purpose: 'integration-credential', projectId: of, rowId })
}

function integration(credential: string, more: Partial<Integration> = {}): Integration {
  const integration_id = `int_${credential}`
  return { integration_id, dialect: 'openai', credential: sealed(credential, projectId, integration_id), ...more }
}

function managed(credential: string, more: Partial<ManagedIntegration> = {}): ManagedIntegration {
  const integration_id = `int_${credential}`
  const envelope = sealed(credential, installationProject, integration_id)
  return { integration_id, dialect: 'openai', version: 1, credential: envelope, ...more }
}

function resolverOf(stored: () => ManagedIntegration | undefined, ofEnvironment = 'environment') {
  const upstream = { baseUrl: 'https://api.openai.com/v1', apiKey: ofEnvironment, servedBy: 'openai' }
  return new RouteResolver({
    managed: { openai: upstream, anthropic: upstream },
    findManaged: dialect => (dialect === 'openai' ? stored() : undefined),
    secretBox: box,
    allowPrivateUpstreams: false,
    readCredential: source => ('env' in source && source.env === 'GATEWAY_CREDENTIAL_A' ? 'from-a' : undefined),
  })
}

const project = (...integrations: Integration[]) =>
  ({ project_id: projectId, name: 'test', integrations }) as unknown as Project
const sent = ({ credentialHeaders }: { credentialHeaders: readonly string[] }) => credentialHeaders[1]

test('calls go by the team’s access, else the project’s, else what the operator has set, else the environment’s', () => {
  const routes = resolverOf(() => managed('stored'))
  const team = integration('team', { team_id: 'team_1' })
  const own = integration('own')
  const way = (of: Project, teamId: string) => {
    const route = routes.resolve(of, 'openai', teamId)
    return [sent(route), route.paidBy, route.access]
  }
  assert.deepEqual(way(project(team, own), 'team_1'), ['Bearer team', 'own_credential', 'int_team'])
  assert.deepEqual(way(project(team, own), 'team_2'), ['Bearer own', 'own_credential', 'int_own'])
  assert.deepEqual(way(project(team), 'team_2'), ['Bearer stored', 'managed', 'managed'])
  assert.deepEqual(way(project(), 'unassigned'), ['Bearer stored', 'managed', 'managed'])
  const bare = resolverOf(() => undefined).resolve(project(), 'openai', 'unassigned')
  assert.deepEqual([sent(bare), bare.paidBy, bare.access], ['Bearer environment', 'managed', 'managed'])
})

test('what the operator sets, changes or takes away holds for the next call, also where the environment has nothing', () => {
  let stored: ManagedIntegration | undefined
  const routes = resolverOf(() => stored, '')
  const of = project()
  const now = () => {
    routes.forget()
    return routes.resolve(of, 'openai', 'unassigned')
  }
  assert.throws(now, { reason: 'provider_not_configured' })
  stored = managed('first')
  assert.equal(sent(now()), 'Bearer first')
  stored = managed('second', { base_url: 'https://proxy.example.com/v1', organization: 'org-1' })
  assert.deepEqual(now().credentialHeaders, ['authorization', 'Bearer second', 'openai-organization', 'org-1'])
  assert.deepEqual([now().origin, now().servedBy], ['https://proxy.example.com', 'proxy.example.com'])
  const { credential: _none, ...rest } = managed('x')
  stored = { ...rest, credential_from: { env: 'GATEWAY_CREDENTIAL_A' } }
  assert.equal(sent(now()), 'Bearer from-a')
  stored = { ...rest, credential_from: { env: 'GATEWAY_CREDENTIAL_B' } }
  assert.throws(now, { reason: 'provider_not_configured' })
  stored = undefined
  assert.throws(now, { reason: 'provider_not_configured' })
})

test('a project’s sealed credential does not open as the operator’s, nor the operator’s as a project’s', () => {
  const [ofProject, ofOperator] = [integration('x'), managed('x')]
  const credential = sealed('x', projectId, 'int_x')
  const itsCredential = sealed('x', installationProject, 'int_x')
  assert.throws(() => resolverOf(() => ({ ...ofOperator, credential })).managed('openai'), {
    name: 'EnvelopeError',
  })
  const moved = project({ ...ofProject, credential: itsCredential })
  assert.throws(() => resolverOf(() => undefined).resolve(moved, 'openai', 'unassigned'), { name: 'EnvelopeError' })
})
