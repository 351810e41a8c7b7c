const maxRawUsageBytes = 64 * 1024

/** The provider's usage object where an event may carry it: at most 64 kB of JSON. Else null; what was read of it counts. */
export function boundedRawUsage(rawUsage: unknown): unknown {
  try {
    return Buffer.byteLength(JSON.stringify(rawUsage) ?? '') <= maxRawUsageBytes ? rawUsage : null
  } catch {
    // Nested deeper than can be written.
    return null
  }
}
