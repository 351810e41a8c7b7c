import { lineOfText, Type } from '@sluice/contracts'

export const DimensionValue = Type.String({ minLength: 1, maxLength: 256, pattern: lineOfText })

/** What a budget's scope and a previewed call may name, beside project and account. */
export const scopeMembers = {
  team: Type.Optional(DimensionValue),
  member: Type.Optional(DimensionValue),
  room: Type.Optional(DimensionValue),
  key: Type.Optional(DimensionValue),
  service_account: Type.Optional(DimensionValue),
  participant: Type.Optional(DimensionValue),
  model: Type.Optional(DimensionValue),
  provider: Type.Optional(DimensionValue),
  app: Type.Optional(DimensionValue),
  session: Type.Optional(DimensionValue),
  agent: Type.Optional(DimensionValue),
}
