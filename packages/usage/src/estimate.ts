/** Bytes of UTF-8 per token in tenths, before any measurement of the model: Latin text. */
export const startBytesPerTokenTenths = 36

/** More bytes than a token of any text has on average: a count below is no count of that text. */
export const maxBytesPerToken = 16

/** Tokens that this many bytes of text amount to, rounded up. An estimate: mark it so. */
export function estimateTokens(bytes: number, bytesPerTokenTenths: number = startBytesPerTokenTenths): number {
  if (bytes <= 0) return 0
  const scaled = bytes * 10
  return (scaled - (scaled % bytesPerTokenTenths)) / bytesPerTokenTenths + (scaled % bytesPerTokenTenths === 0 ? 0 : 1)
}

/**
 * Input tokens of a request body whose provider told no number: its bytes, JSON syntax included, which stands for
 * the tokens that chat templates add. Base64 parts (images, files) are not text: give their size to leave it out.
 */
export function estimateInputTokens(
  bodyBytes: number,
  binaryBytes = 0,
  bytesPerTokenTenths: number = startBytesPerTokenTenths,
): number {
  return estimateTokens(Math.max(0, bodyBytes - binaryBytes), bytesPerTokenTenths)
}
