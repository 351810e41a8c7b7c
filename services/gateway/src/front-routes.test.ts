import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FrontRoutesError, findFrontRoute, parseFrontRoutes } from './front-routes.ts'

const routes = parseFrontRoutes(
  '/accounts/projects/*/usage/**=http://127.0.0.1:4, /accounts/projects/*/balance=http://127.0.0.1:3,/accounts/**=http://127.0.0.1:1',
)

test('the first pattern that fits has the path', () => {
  assert.equal(findFrontRoute(routes, '/accounts/projects/p/usage')?.origin, 'http://127.0.0.1:4')
  assert.equal(findFrontRoute(routes, '/accounts/projects/p/usage/events')?.origin, 'http://127.0.0.1:4')
  assert.equal(findFrontRoute(routes, '/accounts/projects/p/balance')?.origin, 'http://127.0.0.1:3')
  assert.equal(findFrontRoute(routes, '/accounts/projects/p/balance/x')?.origin, 'http://127.0.0.1:1')
  assert.equal(findFrontRoute(routes, '/pricing'), undefined)
})

test('no spelling of a parent folder leads to another service', () => {
  for (const path of [
    '/accounts/projects/p/usage/../../../x',
    '/accounts/%2e%2e/x',
    '/accounts/a%2Fb',
    '/accounts/a\\b',
  ])
    assert.equal(findFrontRoute(routes, path), undefined, path)
})

test('a list that cannot be read says which entry', () => {
  assert.throws(() => parseFrontRoutes('/a=nowhere'), FrontRoutesError)
  assert.throws(() => parseFrontRoutes('a=http://x'), /"a=http:\/\/x"/)
})
