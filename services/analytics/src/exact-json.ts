declare global {
  interface JSON {
    /** Of the language since ES2025's proposal stage 4: text that is written as it stands. */
    rawJSON: (text: string) => unknown
  }
}

/** An integer of any size as a JSON number, digit for digit. */
export function exactInteger(value: bigint): unknown {
  return JSON.rawJSON(value.toString())
}

/** nano-USD as a JSON number of USD, digit for digit: 1500000 is 0.0015. No float takes part. */
export function exactUsd(nanoUsd: bigint): unknown {
  return JSON.rawJSON(formatUsd(nanoUsd))
}

/** nano-USD as decimal text of USD without trailing zeros. */
export function formatUsd(nanoUsd: bigint): string {
  const sign = nanoUsd < 0n ? '-' : ''
  const digits = (nanoUsd < 0n ? -nanoUsd : nanoUsd).toString().padStart(10, '0')
  const fraction = digits.slice(-9).replace(/0+$/, '')
  return `${sign}${digits.slice(0, -9)}${fraction === '' ? '' : `.${fraction}`}`
}
