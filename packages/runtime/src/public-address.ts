import ipaddr from 'ipaddr.js'

const globalUnicast = ipaddr.IPv6.parseCIDR('2000::/3')

/**
 * Says whether an IP address is on the public internet. Private, loopback, link-local (cloud metadata), carrier-grade NAT,
 * unique-local, multicast, reserved, NAT64- and 6to4-embedded addresses are not; an IPv4-mapped address counts as its IPv4,
 * and of IPv6 only what is assigned for global unicast (2000::/3) is public, so no embedding yet to come is.
 */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false
  const parsed = ipaddr.process(address)
  if (parsed.range() !== 'unicast') return false
  return !(parsed instanceof ipaddr.IPv6) || parsed.match(globalUnicast)
}

/** What counts as one client where attempts are counted: an IPv4 address, or the /64 that one IPv6 customer has at least. */
export function networkOf(address: string): string {
  if (!ipaddr.isValid(address)) return address
  const parsed = ipaddr.process(address)
  return parsed instanceof ipaddr.IPv6
    ? `${parsed.parts
        .slice(0, 4)
        .map(part => part.toString(16))
        .join(':')}::/64`
    : parsed.toString()
}
