import { checkOf, type Project, pathClasses, Type } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import type { Static } from 'typebox'
import { errors } from './errors.ts'
import { isStorable } from './storable-json.ts'

/** A settings object as it travels. */
export const SettingsObject = Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true })

const AbortPolicy = Type.Union([Type.Literal('drain'), Type.Literal('cancel')])

/** The settings that Sluice acts on. Everything else in the object is kept as it came and acted on by nobody. */
export const KnownSettings = Type.Object({
  unpriced: Type.Optional(
    Type.Union([Type.Literal('deny'), Type.Literal('assume_max'), Type.Literal('meter_tokens_only')]),
  ),
  on_client_abort: Type.Optional(
    Type.Object(
      { openai: Type.Optional(AbortPolicy), anthropic: Type.Optional(AbortPolicy) },
      { additionalProperties: false },
    ),
  ),
  path_classes: Type.Optional(
    Type.Object(
      {
        stored: Type.Optional(Type.Boolean()),
        free: Type.Optional(Type.Boolean()),
        batches: Type.Optional(Type.Boolean()),
        realtime_calls: Type.Optional(Type.Boolean()),
      },
      { additionalProperties: false },
    ),
  ),
  budget_status: Type.Optional(Type.Literal(402)),
  /** What becomes of calls for rooms that nobody has made here. */
  unknown_rooms: Type.Optional(Type.Union([Type.Literal('allow'), Type.Literal('deny')])),
})
export type KnownSettings = Static<typeof KnownSettings>

const known = checkOf(KnownSettings)
const maxBytes = 16_384
const secretName = /(api[_-]?key|secret|token|password|credential)s?$/i

/**
 * Checks a settings object as it came.
 * @throws AppError 400 where a known setting has a wrong value, the object is too large, or it seems to hold a credential:
 * this object is stored and shown in clear
 */
export function checkSettings(settings: Record<string, unknown>): Record<string, unknown> {
  if (!known.matches(settings)) {
    const [first] = known.problems(settings)
    const where = first?.instancePath.replaceAll('/', '.').slice(1) || 'settings'
    throw errorOf(errors.invalidRequest, {
      message: `${where} ${first?.message ?? 'is not valid'}. Known: unpriced (deny, assume_max, meter_tokens_only), on_client_abort {openai, anthropic} (drain, cancel), path_classes {${pathClasses.join(', ')}} (true, false), budget_status (402), unknown_rooms (allow, deny).`,
    })
  }
  if (!isStorable(settings))
    throw errorOf(errors.invalidRequest, {
      message:
        'The settings object must not have a NUL character or half of a surrogate pair in a name or a value, nor 64 levels.',
    })
  if (Buffer.byteLength(JSON.stringify(settings)) > maxBytes)
    throw errorOf(errors.invalidRequest, { message: `The settings object must be at most ${maxBytes} bytes.` })
  const name = findSecretName(settings)
  if (name !== undefined)
    throw errorOf(errors.invalidRequest, {
      message: `"${name}" looks like a credential; settings are shown in clear. PUT provider credentials to …/settings/openai or …/settings/anthropic.`,
    })
  return settings
}

/** What a project document says, with the defaults of what is not set. */
export function effectiveSettings(
  settings: Record<string, unknown>,
): Pick<Project, 'unpriced' | 'on_client_abort' | 'path_classes' | 'budget_status' | 'unknown_rooms'> {
  const { unpriced, on_client_abort, path_classes, budget_status, unknown_rooms }: KnownSettings = known.matches(
    settings,
  )
    ? settings
    : {}
  return {
    unpriced: unpriced ?? 'deny',
    // Read to the end by default: the cost of a stopped stream is an estimate, that of a finished one is not.
    on_client_abort: { openai: on_client_abort?.openai ?? 'drain', anthropic: on_client_abort?.anthropic ?? 'drain' },
    path_classes: {
      stored: path_classes?.stored ?? false,
      free: path_classes?.free ?? false,
      batches: path_classes?.batches ?? false,
      realtime_calls: path_classes?.realtime_calls ?? false,
    },
    ...(budget_status === undefined ? {} : { budget_status }),
    ...(unknown_rooms === 'deny' ? { unknown_rooms } : {}),
  }
}

/**
 * Requires of who changes what is let in and how it is counted that they may say so: bringing credentials is not enough.
 * @throws AppError 403
 */
export function requireSettings(
  before: Record<string, unknown>,
  after: Record<string, unknown>,
  held: ReadonlySet<string>,
): void {
  const [one, other] = [effectiveSettings(before), effectiveSettings(after)]
  for (const [name, permission] of [
    ['unpriced', 'budgets:write'],
    ['path_classes', 'budgets:write'],
    ['unknown_rooms', 'rooms:write'],
  ] as const)
    if (!held.has(permission) && JSON.stringify(one[name]) !== JSON.stringify(other[name]))
      throw errorOf(errors.forbidden, { message: `To change ${name} takes ${permission}. Send it as it is.` })
}

/** What the audit trail keeps of a settings object: known values, and only the names of the rest. */
export function auditedSettings(settings: Record<string, unknown>): Record<string, unknown> {
  const { unpriced, on_client_abort, path_classes, budget_status, unknown_rooms, ...others } = settings
  return {
    unpriced,
    on_client_abort,
    path_classes,
    budget_status,
    unknown_rooms,
    other_names: Object.keys(others).sort(),
  }
}

function findSecretName(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  for (const [name, inner] of Object.entries(value)) {
    if (!Array.isArray(value) && secretName.test(name)) return name
    const found = findSecretName(inner)
    if (found !== undefined) return found
  }
  return undefined
}
