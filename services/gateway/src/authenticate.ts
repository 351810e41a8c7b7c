import type { CallIdentity, Project } from '@sluice/contracts'
import { clientAddress, isInIpRanges } from '@sluice/runtime'
import {
  looksLikeJwt,
  type ParticipantClaims,
  readKeyId,
  requireOwnMember,
  TokenError,
  verifyParticipantToken,
} from '@sluice/runtime/participant-token'
import { classNotOpen } from './path-class.ts'
import { withPayingTeam } from './paying-team.ts'
import { Refusal } from './refusal.ts'
import { credentialHashOf, type ShownCredential } from './request-headers.ts'
import { requireRoom } from './room-access.ts'
import { type ClientSecretBox, type ClientSecretGrant, looksLikeClientSecret } from './sockets/client-secret.ts'
import type { TokenCache } from './token-cache.ts'
import type { ActiveKey, KeysView } from './views/keys-view.ts'
import type { ProjectsView } from './views/projects-view.ts'
import type { RoomsView } from './views/rooms-view.ts'

/** Who is calling, proved, with the settings that apply. */
export interface Principal {
  identity: CallIdentity
  project: Project
  /** Model lists of the credential and of the team that pays, each of which must allow the model. */
  modelLists: readonly (readonly string[])[]
  expiresAtMs: number
  /** The teams of the member whose own call it is: one of them may be asked to pay. */
  memberTeams?: readonly string[] | undefined
  /** What the credential was made for, where it is a client secret. */
  clientSecret?: ClientSecretGrant
  /** What the credential says, where it is a participant token. */
  token?: VerifiedToken
}

/** What is kept of a token's claims: its grants as they were written may be kilobytes, and nothing here asks for them again. */
export type KeptClaims = Omit<ParticipantClaims, 'payload'>

/** What a participant token says, read with the key whose secret has signed it. */
export interface VerifiedToken {
  keyId: string
  /** SHA-256 by which the key has the secret that signed the token. */
  secretHash: string
  claims: KeptClaims
  identity: CallIdentity
  models: readonly string[] | null
  expiresAtMs: number
}

export interface AuthenticateDeps {
  keys: KeysView
  projects: ProjectsView
  rooms: RoomsView
  tokens: TokenCache
  clientSecrets: ClientSecretBox
  /** Proxies that are believed when they say where a client is. */
  trustedProxies: readonly string[]
}

const howTo = 'Send an API key (ma-…) or a participant token as "Authorization: Bearer …" or "x-api-key".'

/**
 * Proves who is calling, from memory: an API key by its hash, a participant token by its signature (once, then by its hash).
 * What has none of our shapes may be the key of another system, known by its hash too. Every credential kind is taken from
 * either header.
 * @param room room of the URL, if it has one
 * @param sessionSinceMs when the realtime session began that the credential is shown for; client secrets begin nothing else
 * @throws Refusal 401 for a credential that is missing, unknown, expired or revoked; 403 for a grant that is missing, or an
 * address that the key may not come from
 */
export function authenticate(
  deps: AuthenticateDeps,
  shown: ShownCredential,
  room: string | undefined,
  nowMs: number,
  sessionSinceMs?: number,
): Principal | Promise<Principal> {
  const proved = prove(deps, shown, room, nowMs, sessionSinceMs)
  return proved instanceof Promise
    ? proved.then(principal => admitted(deps, principal, shown))
    : admitted(deps, proved, shown)
}

/** What holds for whoever is proved: their room takes them, and a team pays. @throws Refusal 403 */
function admitted(deps: AuthenticateDeps, principal: Principal, shown: ShownCredential): Principal {
  const models = requireRoom(deps, principal.identity, principal.project)
  const inRoom = models ? { ...principal, modelLists: [...principal.modelLists, models] } : principal
  return withPayingTeam(inRoom, shown.team)
}

function prove(
  deps: AuthenticateDeps,
  shown: ShownCredential,
  room: string | undefined,
  nowMs: number,
  sessionSinceMs: number | undefined,
): Principal | Promise<Principal> {
  const { credential } = shown
  if (credential === '') throw new Refusal('unauthorized', `No credential was sent. ${howTo}`)
  const credentialHash = credentialHashOf(shown)
  if (credential.startsWith('ma-')) return byKey(deps, shown, room, nowMs)
  const known = deps.tokens.get(credentialHash)
  if (known) return byToken(deps, known, shown, room, nowMs)
  if (looksLikeJwt(credential)) return verifyToken(deps, shown, room, nowMs)
  if (looksLikeClientSecret(credential)) return byClientSecret(deps, shown, room, nowMs, sessionSinceMs)
  if (deps.keys.findByHash(credentialHash)) return byKey(deps, shown, room, nowMs)
  throw new Refusal('unauthorized', `This credential is of no kind that is known here. ${howTo}`)
}

/**
 * Proves a caller once more who was proved before, as things stand now: from memory and at once. What a signature has proved
 * stays proved; the key, its secret, the project and their times may not be what they were.
 * @throws Refusal as {@link authenticate}
 */
export function authenticateAgain(
  deps: AuthenticateDeps,
  known: Principal,
  shown: ShownCredential,
  room: string | undefined,
  nowMs: number,
  sessionSinceMs: number | undefined,
): Principal {
  return admitted(deps, proveNow(deps, known, shown, room, nowMs, sessionSinceMs), shown)
}

function proveNow(
  deps: AuthenticateDeps,
  { token, clientSecret }: Principal,
  shown: ShownCredential,
  room: string | undefined,
  nowMs: number,
  sessionSinceMs: number | undefined,
): Principal {
  if (token)
    return byToken(deps, deps.tokens.get(credentialHashOf(shown)) ?? readAgain(deps, token), shown, room, nowMs)
  if (clientSecret) return byClientSecret(deps, shown, room, nowMs, sessionSinceMs)
  return byKey(deps, shown, room, nowMs)
}

function byKey(deps: AuthenticateDeps, shown: ShownCredential, room: string | undefined, nowMs: number): Principal {
  const credentialHash = credentialHashOf(shown)
  const active = deps.keys.findByHash(credentialHash)
  const secret = active?.key.secrets.find(candidate => candidate.hash === credentialHash)
  if (
    !active ||
    !secret ||
    (secret.expires_at_ms ?? Infinity) <= nowMs ||
    (active.key.expires_at_ms ?? Infinity) <= nowMs
  ) {
    throw new Refusal(
      'unauthorized',
      'This API key is unknown, expired or revoked. Create a new one, or ask a project admin.',
    )
  }
  return {
    // Whoever holds a key can sign a token for any room of the project, so the URL's room is as good as signed.
    identity: room === undefined ? active.identity : { ...active.identity, room },
    project: projectOf(deps, active, shown, nowMs),
    modelLists: active.key.models ? [active.key.models] : [],
    memberTeams: active.memberTeams,
    expiresAtMs: Math.min(active.key.expires_at_ms ?? Infinity, secret.expires_at_ms ?? Infinity),
  }
}

async function verifyToken(
  deps: AuthenticateDeps,
  shown: ShownCredential,
  room: string | undefined,
  nowMs: number,
): Promise<Principal> {
  const token = shown.credential
  try {
    const active = deps.keys.findById(readKeyId(token))
    if (!active || (active.key.expires_at_ms ?? Infinity) <= nowMs)
      throw new TokenError('The key that signed this token is unknown, expired or revoked. Have a new token made.')
    const secrets = deps.keys.secretsOf(active.key, nowMs)
    const { payload, ...claims } = await verifyParticipantToken(
      token,
      secrets.map(({ bytes }) => bytes),
      nowMs,
    )
    const verified = readWith(active, secrets[claims.signedBy]?.hash ?? '', claims)
    // The key may have been revoked while the signature was checked; such a token must not be remembered.
    if (deps.keys.findById(verified.keyId)?.key.version !== active.key.version)
      throw new TokenError('The key that signed this token has changed. Try again.')
    deps.tokens.put(credentialHashOf(shown), verified)
    return byToken(deps, verified, shown, room, nowMs)
  } catch (error) {
    if (error instanceof TokenError) throw new Refusal('unauthorized', error.message)
    throw error
  }
}

/** @throws TokenError, Refusal 403 without the LLM grant */
function readWith({ key, identity }: ActiveKey, secretHash: string, claims: KeptClaims): VerifiedToken {
  if (claims.projectId !== key.project_id) throw new TokenError('The token names a project that is not its key’s.')
  requireOwnMember(claims, key)
  if (claims.models === undefined) {
    throw new Refusal('llm_not_granted', 'This participant token has no LLM grant. Mint it with the "llm" API scope.')
  }
  const secret = key.secrets.find(({ hash }) => hash === secretHash)
  if (!secret) throw new TokenError('The secret that signed this token is expired or revoked. Have a new token made.')
  return {
    keyId: key.key_id,
    secretHash,
    claims,
    identity: {
      // A name that somebody signs with a member's key takes no call off that member.
      ...identity,
      credential_kind: 'participant_token',
      participant: claims.name,
      ...(claims.room === undefined ? {} : { room: claims.room }),
    },
    models: claims.models,
    expiresAtMs: Math.min(
      claims.expiresAtMs ?? Infinity,
      key.expires_at_ms ?? Infinity,
      secret.expires_at_ms ?? Infinity,
    ),
  }
}

/** What a token says with its key of now, whose changes have made the verified tokens forgotten. @throws Refusal 401 */
function readAgain(deps: AuthenticateDeps, { keyId, secretHash, claims }: VerifiedToken): VerifiedToken {
  const active = deps.keys.findById(keyId)
  if (!active)
    throw new Refusal(
      'unauthorized',
      'The key that signed this token is unknown, expired or revoked. Have a new token made.',
    )
  try {
    return readWith(active, secretHash, claims)
  } catch (error) {
    if (error instanceof TokenError) throw new Refusal('unauthorized', error.message)
    throw error
  }
}

function byToken(
  deps: AuthenticateDeps,
  token: VerifiedToken,
  shown: ShownCredential,
  room: string | undefined,
  nowMs: number,
): Principal {
  const active = deps.keys.findById(token.keyId)
  if (!active)
    throw new Refusal(
      'unauthorized',
      'The key that signed this token is unknown, expired or revoked. Have a new token made.',
    )
  if (token.expiresAtMs <= nowMs) throw new Refusal('unauthorized', 'The token has expired. Have a new one made.')
  if (room !== undefined && token.identity.room !== room) {
    throw new Refusal(
      'room_not_granted',
      `This participant token has no grant for room "${room}". Have one made that names it.`,
    )
  }
  const modelLists: (readonly string[])[] = []
  if (token.models) modelLists.push(token.models)
  if (active.key.models) modelLists.push(active.key.models)
  const { identity, expiresAtMs } = token
  const memberTeams = identity.member_id === undefined ? undefined : active.memberTeams
  return { identity, project: projectOf(deps, active, shown, nowMs), modelLists, memberTeams, expiresAtMs, token }
}

/** A secret lives as long as what it was made with, and begins sessions for its own time. */
function byClientSecret(
  deps: AuthenticateDeps,
  shown: ShownCredential,
  room: string | undefined,
  nowMs: number,
  sessionSinceMs: number | undefined,
): Principal {
  if (sessionSinceMs === undefined)
    throw new Refusal('unauthorized', 'A client secret begins realtime sessions and calls, nothing else.')
  const grant = deps.clientSecrets.open(shown.credential)
  if (!grant) throw new Refusal('unauthorized', 'This client secret was not made here, or was changed.')
  const { identity, keyHash, creatorUntilMs = Infinity } = grant
  const active = deps.keys.findById(identity.key_id ?? '')
  const madeWith = active?.key.secrets.find(({ hash }) => hash === keyHash)
  const untilMs = Math.min(active?.key.expires_at_ms ?? Infinity, creatorUntilMs, madeWith?.expires_at_ms ?? Infinity)
  if (active?.key.project_id !== identity.project_id || (keyHash !== undefined && !madeWith) || untilMs <= nowMs)
    throw new Refusal('unauthorized', 'What this client secret was made with is expired or revoked.')
  if (grant.opensUntilMs <= sessionSinceMs)
    throw new Refusal('unauthorized', 'This client secret has expired. Have a new one made.')
  if (room !== undefined && identity.room !== room)
    throw new Refusal('room_not_granted', `This client secret is not for room "${room}".`)
  const project = projectOf(deps, active, shown, nowMs)
  if (project.path_classes?.realtime_calls !== true) throw classNotOpen('A client secret', 'realtime_calls', project)
  const models = [...(grant.model === undefined ? [] : [grant.model]), ...grant.transcriptionModels]
  return {
    identity,
    project,
    modelLists: [models.map(model => `openai/${model}`), ...(active.key.models ? [active.key.models] : [])],
    expiresAtMs: untilMs,
    clientSecret: grant,
  }
}

/** The project that a key makes calls in. @throws Refusal where it may make none there or from here, or the project none at all */
function projectOf(
  deps: AuthenticateDeps,
  active: ActiveKey,
  { peer, forwardedFor }: ShownCredential,
  nowMs: number,
): Project {
  const { ip_ranges } = active.key
  if (ip_ranges && !isInIpRanges(ip_ranges, clientAddress(peer, forwardedFor, deps.trustedProxies)))
    throw new Refusal(
      'ip_not_allowed',
      'The key of this call may not be used from your address. Call from one that it is for, or ask a project admin.',
    )
  const project = deps.projects.find(active.key.project_id)
  if (!project) throw new Refusal('unauthorized', 'The project of this credential does not exist any more.')
  if (project.disabled) throw new Refusal('project_disabled', `Project "${project.name}" is disabled. Ask its owner.`)
  if (!active.mayCall)
    throw new Refusal(
      'llm_not_granted',
      'The member or service account that this key belongs to may not call models in this project. Ask a project admin.',
    )
  active.usedAtMs = nowMs
  return project
}
