import { Id, lineOfText, Type } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import { errors } from '../errors.ts'
import { RoleName } from './project-member-response.ts'
import { PersonNamePart } from './route-schemas.ts'

/** What somebody gets: names, or a flag each. */
const rights = {
  roles: Type.Optional(Type.Array(RoleName, { maxItems: 32 })),
  is_admin: Type.Optional(Type.Boolean()),
  is_developer: Type.Optional(Type.Boolean()),
  can_create_rooms: Type.Optional(Type.Boolean()),
  /** Older clients send it; there are no agents here to create. */
  can_create_agents: Type.Optional(Type.Boolean()),
  can_use_llm_proxy: Type.Optional(Type.Boolean()),
}

/** The id of the project, which some clients repeat in the body. */
const project_id = Type.Optional(Type.String())

export const RightsBody = Type.Object(
  { project_id, user_id: Type.Optional(Id), ...rights },
  { additionalProperties: false },
)

export const NewProjectMemberBody = Type.Object(
  {
    project_id,
    user_id: Type.Optional(Id),
    email: Type.Optional(
      Type.String({ minLength: 3, maxLength: 254, pattern: `^(?=[^\\s@]+@[^\\s@]+$)${lineOfText.slice(1)}` }),
    ),
    first_name: Type.Optional(PersonNamePart),
    last_name: Type.Optional(PersonNamePart),
    ...rights,
    /** Where an invitation leads. Nobody is written to yet. */
    invite_redirect_url: Type.Optional(Type.Union([Type.Null(), Type.String({ maxLength: 2048 })])),
  },
  { additionalProperties: false },
)

/** @throws AppError 400 where a body names another project than its path */
export function requireSameProject(body: { project_id?: string }, projectId: string): void {
  if (body.project_id !== undefined && body.project_id !== projectId)
    throw errorOf(errors.invalidRequest, { message: 'project_id is not the project of the path.' })
}
