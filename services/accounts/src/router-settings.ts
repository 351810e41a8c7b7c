import { Type } from '@sluice/contracts'
import type { Static } from 'typebox'

const AllowedModel = Type.Object(
  {
    provider: Type.String({ pattern: '^[a-z0-9_-]{1,32}$' }),
    /** A model's name; a trailing `*` allows all that begin so. */
    model: Type.String({ pattern: '^[^\\s*\\u0000-\\u001f\\u007f\\ud800-\\udfff]{0,159}\\*?$', minLength: 1 }),
  },
  { additionalProperties: false },
)
const AllowedModels = Type.Union([Type.Null(), Type.Array(AllowedModel, { maxItems: 1000 })])

/** The `router` settings document; null allows every priced model. */
export const RouterSettings = Type.Object({ allowedModels: AllowedModels }, { additionalProperties: false })
export type RouterSettings = Static<typeof RouterSettings>

/** What a PUT may send: the document, or the bare list that older clients send. */
export const RouterSettingsBody = Type.Union([
  Type.Object({ allowedModels: Type.Optional(AllowedModels) }, { additionalProperties: false }),
  Type.Array(AllowedModel, { maxItems: 1000 }),
])
export type RouterSettingsBody = Static<typeof RouterSettingsBody>

/** `provider/model` patterns of a router document; null: all. */
export function toAllowedModels(body: RouterSettingsBody): string[] | null {
  const list = Array.isArray(body) ? body : (body.allowedModels ?? null)
  return list && [...new Set(list.map(({ provider, model }) => `${provider}/${model}`))]
}

/** The reverse of {@link toAllowedModels}. */
export function toRouterSettings(allowedModels: readonly string[] | null): RouterSettings {
  return {
    allowedModels:
      allowedModels?.map(pattern => {
        const slash = pattern.indexOf('/')
        return { provider: pattern.slice(0, slash), model: pattern.slice(slash + 1) }
      }) ?? null,
  }
}
