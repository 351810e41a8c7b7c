import { errorOf } from '@sluice/runtime'
import { errors } from '../errors.ts'

/** The time that a field says in RFC 3339. @throws AppError 400 for a leap second: clocks here show none */
export function readInstant(field: string, text: string): Date {
  const at = new Date(text)
  if (Number.isNaN(at.getTime()))
    throw errorOf(errors.invalidRequest, { message: `${field} is no time that can be kept: say a second below 60.` })
  return at
}
