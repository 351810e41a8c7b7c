const backslash = 0x5c

/** Behind `\u00`, the letters and digits of what anyone looks for. Other signs some clients always escape. */
const escapedLetters = /^(?:3[0-9]|5f|6[1-9a-f]|7[0-9a])/i

/** Says whether a name or a word in this JSON may be written with escapes, so that a search for its bytes does not see it. */
export function mayHaveEscapedNames(bytes: Buffer): boolean {
  // Backslashes are many in code and in quoted JSON: what stands behind this one is rare.
  for (let at = bytes.indexOf('u00'); at >= 0; at = bytes.indexOf('u00', at + 3))
    if (bytes[at - 1] === backslash && escapedLetters.test(bytes.toString('latin1', at + 3, at + 5))) return true
  return false
}
