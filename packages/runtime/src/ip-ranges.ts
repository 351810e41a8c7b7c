import ipaddr from 'ipaddr.js'

type Range = [base: ipaddr.IPv4 | ipaddr.IPv6, bits: number]

/** Says what is wrong with a range of addresses in CIDR notation; undefined: nothing. A single address stands for itself. */
export function problemOfIpRange(text: string): string | undefined {
  const range = readRange(text)
  if (!range) return 'is no range of addresses: write 203.0.113.0/24, 2001:db8::/32 or a single address'
  const [base, bits] = range
  const network = networkOf(base, bits)
  if (network.toNormalizedString() !== base.toNormalizedString())
    return `has bits set behind its prefix: write ${network.toString()}/${bits}`
  return undefined
}

const compiled = new WeakMap<readonly string[], readonly Range[]>()

/** Whether an address is in one of these ranges, read once per list. An address that is unknown or none is in no range. */
export function isInIpRanges(ranges: readonly string[], address: string | undefined): boolean {
  const found = address === undefined ? undefined : readAddress(address)
  if (!found) return false
  return rangesOf(ranges).some(range => contains(range, found))
}

/** Whether every address of `child` is one of `parent`. */
export function coversIpRange(parent: string, child: string): boolean {
  const [outer, inner] = [readRange(parent), readRange(child)]
  return outer !== undefined && inner !== undefined && outer[1] <= inner[1] && contains(outer, inner[0])
}

/** The address that a client of trusted proxies comes from: the last hop that none of them is. */
export function clientAddress(
  peer: string | undefined,
  forwardedFor: string | undefined,
  trusted: readonly string[],
): string | undefined {
  const hops = forwardedFor?.split(',').map(hop => hop.trim()) ?? []
  let address = peer
  while (hops.length > 0 && isInIpRanges(trusted, address)) address = hops.pop()
  return address
}

function rangesOf(texts: readonly string[]): readonly Range[] {
  let ranges = compiled.get(texts)
  if (!ranges) {
    ranges = texts.map(readRange).filter(range => range !== undefined)
    compiled.set(texts, ranges)
  }
  return ranges
}

function contains([base, bits]: Range, address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  if (base instanceof ipaddr.IPv4) return address instanceof ipaddr.IPv4 && address.match(base, bits)
  return address instanceof ipaddr.IPv6 && address.match(base, bits)
}

/** An IPv4 address in IPv6's clothes is the IPv4 address: sockets show it so. */
function readAddress(text: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text)
  if (!ipaddr.IPv6.isValid(text) || text.includes('%')) return undefined
  // `::203.0.113.9` is read as the mapped address, which it is not.
  if (text.includes('.') && !/^::ffff:/i.test(text)) return undefined
  const address = ipaddr.IPv6.parse(text)
  return address.isIPv4MappedAddress() ? address.toIPv4Address() : address
}

function readRange(text: string): Range | undefined {
  const [base = '', prefix, ...more] = text.split('/')
  const address = readAddress(base)
  if (!address || more.length > 0) return undefined
  // A mapped range of IPv6 has two readings.
  if (address instanceof ipaddr.IPv4 && base.includes(':')) return undefined
  const widest = address instanceof ipaddr.IPv4 ? 32 : 128
  if (prefix === undefined) return [address, widest]
  if (!/^(?:0|[1-9]\d{0,2})$/.test(prefix) || Number(prefix) > widest) return undefined
  return [address, Number(prefix)]
}

function networkOf(base: ipaddr.IPv4 | ipaddr.IPv6, bits: number): ipaddr.IPv4 | ipaddr.IPv6 {
  const cidr = `${base.toString()}/${bits}`
  return base instanceof ipaddr.IPv4
    ? ipaddr.IPv4.networkAddressFromCIDR(cidr)
    : ipaddr.IPv6.networkAddressFromCIDR(cidr)
}
