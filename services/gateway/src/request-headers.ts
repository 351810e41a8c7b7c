import { hash } from 'node:crypto'
import type { ClaimedDimensions } from '@sluice/contracts'
import { type ClientApp, recogniseClient } from './client-app.ts'
import { Refusal } from './refusal.ts'
import type { Route } from './resolve-route.ts'
import type { RepeatedHeaders } from './upstream/repeated-headers.ts'

/** What a request shows of who sends it. */
export interface ShownCredential {
  /** From `Authorization: Bearer`, else from `x-api-key`; empty where there is none. */
  credential: string
  /** {@link credentialHashOf} */
  credentialHash?: string
  /** The team that is to pay, as `Sluice-Team` names it. */
  team?: string | undefined
  /** Where the connection comes from: its other end. */
  peer?: string | undefined
  /** Whom that one names, if it is a proxy: believed only of those that are trusted. */
  forwardedFor?: string | undefined
}

/** What one pass over the raw headers of a request yields. The next request of the same connection may have the same. */
export interface ReadHeaders extends ShownCredential {
  /** Name, value, name, value …: what the provider gets, credential not included. */
  readonly forwarded: readonly string[]
  client: ClientApp
  claimed: ClaimedDimensions
  /** `traceparent`, forwarded as it came. */
  traceparent: string | undefined
  /** The client asks for a receipt comment at the end of a stream. */
  wantsReceipt: boolean
  via: string
  /** What was sent to a provider for these headers last. */
  sent?: { route: Route; headers: RepeatedHeaders }
}

/** SHA-256 of the credential. */
export function credentialHashOf(shown: ShownCredential): string {
  shown.credentialHash ??= hash('sha256', shown.credential)
  return shown.credentialHash
}

/**
 * Not forwarded: credentials, hop-by-hop headers, cookies, what says where the request came from, what is meant for us, and
 * what the upstream connection sets for itself.
 */
const dropped = new Set([
  'authorization',
  'x-api-key',
  'api-key',
  'proxy-authorization',
  'cookie',
  'host',
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
  'content-length',
  'accept-encoding',
  'forwarded',
  'via',
  'x-real-ip',
  'x-request-id',
  'x-litellm-tags',
  'openai-organization',
  'openai-project',
])
/** A browser's key stands in `Sec-WebSocket-Protocol`. */
const droppedPrefixes = [
  'x-forwarded-',
  'meshagent-',
  'sluice-',
  'x-meshagent-',
  'proxy-',
  'cf-',
  'sec-websocket-',
] as const
/** First letters of the prefixes above, so that most names are done with one comparison. */
const prefixInitials = new Set([...'xmspc'])

const lowerNames = new Map<string, string>()

/** Lower-cases a header name, remembering the few spellings that clients use. */
function lower(name: string): string {
  let result = lowerNames.get(name)
  if (result === undefined) {
    result = name.toLowerCase()
    if (lowerNames.size < 2_000) lowerNames.set(name, result)
  }
  return result
}

/**
 * Reads the headers once. @throws Refusal 400 where the request says two different things: two hosts, two bearer
 * credentials
 */
export function readHeaders(raw: readonly string[]): ReadHeaders {
  const forwarded: string[] = []
  let authorization: string | undefined
  let apiKey: string | undefined
  let host: string | undefined
  let userAgent = ''
  let originator: string | undefined
  let title: string | undefined
  let stainless = false
  let traceparent: string | undefined
  let team: string | undefined
  let wantsReceipt = false
  let via = ''
  let forwardedFor: string | undefined
  let connection: string | undefined
  let claimed: ClaimedDimensions | undefined
  for (let i = 0; i < raw.length; i += 2) {
    const rawName = raw[i] as string
    const value = raw[i + 1] as string
    const name = lower(rawName)
    switch (name) {
      case 'authorization':
        if (authorization !== undefined && authorization !== value) throw ambiguous('Authorization')
        authorization = value
        continue
      case 'x-api-key':
        if (apiKey !== undefined && apiKey !== value) throw ambiguous('x-api-key')
        apiKey = value
        continue
      case 'host':
        if (host !== undefined) throw ambiguous('Host')
        host = value
        continue
      case 'connection':
        connection = value
        continue
      case 'user-agent':
        userAgent = value
        break
      case 'originator':
        originator = value
        break
      case 'x-title':
        title = value
        break
      case 'traceparent':
        traceparent = value
        break
      case 'via':
        via = via ? `${via}, ${value}` : value
        continue
      case 'x-forwarded-for':
        forwardedFor = forwardedFor === undefined ? value : `${forwardedFor}, ${value}`
        continue
      case 'sluice-team':
        if (team !== undefined && team !== value) throw ambiguous('Sluice-Team')
        team = value
        continue
      case 'sluice-receipt':
        wantsReceipt = value === '1'
        continue
      case 'x-claude-code-session-id':
      case 'session_id':
      case 'session-id':
        claimed = { ...claimed, session_id: value.slice(0, 128) }
        break
      case 'x-claude-code-agent-id':
        claimed = { ...claimed, agent_id: value.slice(0, 128) }
        break
      case 'x-claude-code-parent-agent-id':
        claimed = { ...claimed, parent_agent_id: value.slice(0, 128) }
        break
      case 'x-litellm-tags':
        for (const tag of value.split(',')) claimed = withTag(claimed, tag.trim(), '1')
        continue
    }
    if (dropped.has(name)) continue
    if (prefixInitials.has(name.charAt(0)) && droppedPrefixes.some(prefix => name.startsWith(prefix))) {
      if (name.startsWith('sluice-tag-')) claimed = withTag(claimed, name.slice(11), value)
      else if (name.startsWith('x-meshagent-annotation-')) claimed = withTag(claimed, name.slice(23), value)
      continue
    }
    if (name.charCodeAt(0) === 120 && name.startsWith('x-stainless-')) stainless = true
    forwarded.push(rawName, value)
  }
  const client = recogniseClient({ userAgent, originator, title, stainless })
  return {
    forwarded: connection === undefined || isOrdinary(connection) ? forwarded : withoutNamed(forwarded, connection),
    credential: bearerOf(authorization) ?? apiKey ?? '',
    team,
    client,
    claimed: claimed ? { app: client.app, ...claimed } : { app: client.app },
    traceparent,
    wantsReceipt,
    via,
    forwardedFor,
  }
}

function bearerOf(authorization: string | undefined): string | undefined {
  if (authorization === undefined) return undefined
  return /^bearer /i.test(authorization) ? authorization.slice(7).trim() : authorization.trim()
}

function isOrdinary(connection: string): boolean {
  return connection === 'keep-alive' || connection === 'close' || connection === 'Keep-Alive'
}

/** `Connection` may name more headers that end at this hop. */
function withoutNamed(forwarded: readonly string[], connection: string): string[] {
  const named = new Set(connection.split(',').map(token => token.trim().toLowerCase()))
  const kept: string[] = []
  for (let i = 0; i < forwarded.length; i += 2) {
    const name = forwarded[i] as string
    if (!named.has(name.toLowerCase())) kept.push(name, forwarded[i + 1] as string)
  }
  return kept
}

const maxTags = 16

function withTag(claimed: ClaimedDimensions | undefined, name: string, value: string): ClaimedDimensions {
  if (name === '' || name.length > 64 || Object.keys(claimed?.tags ?? {}).length >= maxTags) return claimed ?? {}
  return { ...claimed, tags: { ...claimed?.tags, [name]: value.slice(0, 256) } }
}

function ambiguous(name: string): Refusal {
  return new Refusal('invalid_request', `The request has two different ${name} headers. Send one.`)
}
