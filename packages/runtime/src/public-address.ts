import ipaddr from 'ipaddr.js'

/**
 * Says whether an IP address is on the public internet. Private, loopback, link-local (cloud metadata), carrier-grade NAT,
 * unique-local, multicast, reserved, NAT64- and 6to4-embedded addresses are not; an IPv4-mapped address counts as its IPv4.
 */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false
  const parsed = ipaddr.process(address)
  return parsed.range() === 'unicast'
}
