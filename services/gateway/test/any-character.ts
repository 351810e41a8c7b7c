import fc from 'fast-check'

/**
 * Any character, for strings of `fast-check`: its own unit for them holds a table of all 1.1 million of them for as long as the process
 * lives, to find the few that its dangerous words are made of. Those are ASCII.
 */
export const anyCharacter = fc.oneof(
  fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: 1 }),
  // Surrogates are halves of one.
  fc.nat({ max: 0x10ffff - 0x800 }).map(at => String.fromCodePoint(at < 0xd800 ? at : at + 0x800)),
)
