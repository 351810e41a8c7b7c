import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clientAddress, coversIpRange, isInIpRanges, problemOfIpRange } from './ip-ranges.ts'

test('an address is in a range however a socket writes it, and what is no address is in none', () => {
  const ranges = ['203.0.113.0/24', '198.51.100.7', '2001:db8::/32']
  for (const address of ['203.0.113.9', '::ffff:203.0.113.9', '198.51.100.7', '2001:db8:1::1', '2001:DB8::'])
    assert.ok(isInIpRanges(ranges, address), address)
  for (const address of [
    '203.0.114.9',
    '198.51.100.8',
    '2001:db9::1',
    '::1',
    '::203.0.113.9',
    '2001:db8::1%eth0',
    '203.0.113',
    '0xcb.0.113.9',
    '203.0.113.09',
    '',
    'unknown',
    undefined,
  ])
    assert.ok(!isInIpRanges(ranges, address), String(address))
  assert.ok(!isInIpRanges([], '203.0.113.9'))
})

test('a range that reads in two ways is none', () => {
  for (const good of ['0.0.0.0/0', '10.0.0.0/8', '203.0.113.9', '203.0.113.9/32', '::/0', '2001:db8::/32', '::1/128'])
    assert.equal(problemOfIpRange(good), undefined, good)
  for (const bad of [
    '',
    '10/8',
    '10.0.0.1/8',
    '10.0.0.0/33',
    '10.0.0.0/08',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    '10.0.0.0/255.0.0.0',
    '010.0.0.0/8',
    '0x0a000000/8',
    '2001:db8::1/32',
    '2001:db8::/129',
    '::ffff:10.0.0.0/104',
    'fe80::1%eth0',
    ' 10.0.0.0/8',
    'localhost',
  ])
    assert.ok(problemOfIpRange(bad), bad)
})

test('a range covers what lies in it, and nothing of the other family', () => {
  const table: [parent: string, child: string, covers: boolean][] = [
    ['10.0.0.0/8', '10.1.0.0/16', true],
    ['10.0.0.0/8', '10.0.0.0/8', true],
    ['10.0.0.0/8', '10.9.9.9', true],
    ['10.1.0.0/16', '10.0.0.0/8', false],
    ['0.0.0.0/0', '::/0', false],
    ['::/0', '10.0.0.0/8', false],
    ['2001:db8::/32', '2001:db8:1::/48', true],
  ]
  for (const [parent, child, covers] of table) assert.equal(coversIpRange(parent, child), covers, `${parent} ${child}`)
})

test('a client comes from the last hop that is no trusted proxy', () => {
  const trusted = ['10.0.0.0/8']
  assert.equal(
    clientAddress('203.0.113.9', '198.51.100.7', trusted),
    '203.0.113.9',
    'whoever comes directly says nothing',
  )
  assert.equal(clientAddress('10.0.0.1', '198.51.100.7', trusted), '198.51.100.7')
  assert.equal(clientAddress('10.0.0.1', '1.1.1.1, 198.51.100.7', trusted), '198.51.100.7', 'what a client has made up')
  assert.equal(clientAddress('::ffff:10.0.0.1', '198.51.100.7, 10.0.0.2', trusted), '198.51.100.7')
  assert.equal(clientAddress('10.0.0.1', 'unknown', trusted), 'unknown')
  assert.equal(clientAddress('10.0.0.1', undefined, trusted), '10.0.0.1')
  assert.equal(clientAddress('10.0.0.1', '198.51.100.7', []), '10.0.0.1')
  assert.equal(clientAddress(undefined, '198.51.100.7', trusted), undefined)
})
