import { randomBytes } from 'node:crypto'
import { type Call, sendJson } from '../call.ts'
import { asCount, asObject, asText, type JsonObject } from '../json.ts'
import { errorOfStatus } from '../provider-error.ts'
import { RealtimeSession } from './realtime-session.ts'

/** What a browser may be handed in place of a key. */
export interface ClientSecret {
  /** Of the key that made it, which pays. */
  readonly credentialSha256: string
  readonly expiresAt: number
  /** Absent: a session that only writes down what it hears. */
  readonly model: string | undefined
  readonly config: JsonObject
}

export const SECRET_PREFIX = 'ek_'
const SECRETS_KEPT = 1_000

/** The secrets that were made, of which the oldest make room. */
export class ClientSecrets {
  readonly #byValue = new Map<string, ClientSecret>()

  add(secret: ClientSecret): string {
    const value = `${SECRET_PREFIX}${randomBytes(16).toString('hex')}`
    this.#byValue.set(value, secret)
    const [oldest] = this.#byValue.keys()
    if (this.#byValue.size > SECRETS_KEPT && oldest !== undefined) this.#byValue.delete(oldest)
    return value
  }

  /** Undefined where it was never made, or its time is over. */
  find(value: string): ClientSecret | undefined {
    const found = this.#byValue.get(value)
    return found && found.expiresAt * 1_000 > Date.now() ? found : undefined
  }
}

/** `POST /v1/realtime/client_secrets`: the secret at the top, its session beside it. */
export function createClientSecret(call: Call): void {
  const config = asObject(call.body.session)
  const isTranscription = config.type === 'transcription'
  const seconds = asCount(asObject(call.body.expires_after).seconds) ?? 600
  const { value, expiresAt, session } = makeSecret(call, config, isTranscription, seconds)
  sendJson(call, 200, { value, expires_at: expiresAt, session })
}

/** `POST /v1/realtime/sessions` and `/v1/realtime/transcription_sessions`: a session, its secret in it, for a minute. */
export function createLegacySession(call: Call): void {
  const { input_audio_transcription, turn_detection, modalities, ...rest } = call.body
  const config: JsonObject = {
    ...rest,
    ...(modalities === undefined ? {} : { output_modalities: modalities }),
    audio: { input: { transcription: input_audio_transcription ?? null, turn_detection: turn_detection ?? null } },
  }
  const isTranscription = call.path.endsWith('/transcription_sessions')
  const { value, expiresAt } = makeSecret(call, config, isTranscription, 60)
  sendJson(call, 200, {
    ...call.body,
    id: `sess_${call.id}`,
    object: isTranscription ? 'realtime.transcription_session' : 'realtime.session',
    expires_at: 0,
    client_secret: { value, expires_at: expiresAt },
  })
}

function makeSecret(call: Call, config: JsonObject, isTranscription: boolean, seconds: number) {
  const model = isTranscription ? undefined : asText(config.model)
  if (!isTranscription && (model === undefined || !RealtimeSession.serves(model)))
    throw errorOfStatus('openai', 400, `There is no model "${model}" for sessions.`)
  const expiresAt = Math.floor(Date.now() / 1_000) + seconds
  const { credentialSha256 } = call
  const value = call.clientSecrets.add({ credentialSha256, expiresAt, model, config })
  return { value, expiresAt, session: { object: 'realtime.session', id: `sess_${call.id}`, ...config } }
}
