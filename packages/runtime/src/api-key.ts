/** The parts of a key string in MeshAgent's format. */
export interface ApiKeyParts {
  keyId: string
  projectId: string
  secret: string
}

/**
 * Writes `ma-<id>-<project>-<secret>`: both ids are the UUID's 16 bytes in base64url without padding, `-` replaced by `.`.
 */
export function formatApiKey(parts: ApiKeyParts): string {
  return `ma-${encodeUuid(parts.keyId)}-${encodeUuid(parts.projectId)}-${parts.secret}`
}

/** Parses a key string; undefined where it is not one. The secret may contain `-`. */
export function parseApiKey(text: string): ApiKeyParts | undefined {
  if (!text.startsWith('ma-')) return undefined
  const first = text.indexOf('-', 3)
  const second = first < 0 ? -1 : text.indexOf('-', first + 1)
  if (second < 0 || second === text.length - 1) return undefined
  const keyId = decodeUuid(text.slice(3, first))
  const projectId = decodeUuid(text.slice(first + 1, second))
  return keyId && projectId ? { keyId, projectId, secret: text.slice(second + 1) } : undefined
}

function encodeUuid(uuid: string): string {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex').toString('base64url').replaceAll('-', '.')
}

function decodeUuid(text: string): string | undefined {
  if (!/^[A-Za-z0-9_.]{22}$/.test(text)) return undefined
  const bytes = Buffer.from(text.replaceAll('.', '-'), 'base64url')
  // Non-canonical trailing bits would give two spellings to one key.
  if (bytes.length !== 16 || bytes.toString('base64url').replaceAll('-', '.') !== text) return undefined
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
