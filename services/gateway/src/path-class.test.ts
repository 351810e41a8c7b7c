import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Project } from '@sluice/contracts'
import { endpoints } from './endpoints.ts'
import { requireOpenClass } from './path-class.ts'
import { Refusal } from './refusal.ts'

const project = { project_id: 'p-1', name: 'Red', path_classes: { stored: true, free: false } } as Project
const chat = endpoints.find(endpoint => endpoint.name === 'chat.completions') as (typeof endpoints)[number]

test('a path of a class is refused until its project has opened that class, and the refusal says how', () => {
  requireOpenClass({ ...chat, pathClass: 'stored' }, project)
  for (const pathClass of ['free', 'batches'] as const)
    assert.throws(
      () => requireOpenClass({ ...chat, pathClass }, project),
      (error: unknown) =>
        error instanceof Refusal &&
        error.reason === 'path_not_open' &&
        error.message.includes(`"path_classes": {"${pathClass}": true} in PUT /accounts/projects/p-1/settings`),
    )
})

test('a path without a class is open, also where a project says nothing of classes', () => {
  requireOpenClass(chat, { ...project, path_classes: undefined } as unknown as Project)
})
