// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const controlCharacter = /[\u0000-\u001f\u007f-\u009f]/

/**
 * Says whether a text can go everywhere: no control characters, no half surrogates. What a caller chooses and events carry
 * (model, participant, room) must be such, for databases refuse the rest and an event that no store takes would hold up
 * everybody's.
 */
export function isPlainText(text: string): boolean {
  return text.isWellFormed() && !controlCharacter.test(text)
}
