type JsonObject = Record<string, unknown>

/**
 * The event that tells a provider whether to begin turns by itself; all else of how it hears stays as its session has it.
 * Undefined: it begins none.
 * @param session as the provider has described it, in its new form or its old one
 */
export function beginsTurns(session: unknown, mayBegin: boolean): string | undefined {
  const { type, audio, turn_detection: flat } = objectOf(session)
  const nested = objectOf(objectOf(audio).input).turn_detection
  const detection = nested ?? flat
  if (!isObject(detection)) return undefined
  const changed = { ...detection, create_response: mayBegin }
  const change =
    nested === undefined ? { turn_detection: changed } : { type, audio: { input: { turn_detection: changed } } }
  return JSON.stringify({ type: 'session.update', session: change })
}

/** Whether a change of the session says by itself that the provider begins no turns. */
export function asksForNoTurns(change: unknown): boolean {
  const { audio, turn_detection: flat } = objectOf(change)
  const nested = objectOf(objectOf(audio).input).turn_detection
  const detection = nested === undefined ? flat : nested
  return detection === null || (isObject(detection) && detection.create_response === false)
}

function objectOf(value: unknown): JsonObject {
  return isObject(value) ? value : {}
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
