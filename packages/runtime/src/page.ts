import { Type } from '@sluice/contracts'
import { AppError } from './app-error.ts'

/** What every list takes. */
export const PageQuery = {
  page_size: Type.Optional(Type.Integer({ minimum: 1, maximum: 500, description: 'So many at most' })),
  continuation_token: Type.Optional(
    Type.String({ minLength: 1, maxLength: 512, description: 'Of the page before; absent: the first page' }),
  ),
}

/** What every list answers beside its items; null: that was all. */
export const ContinuationToken = Type.Union([Type.String(), Type.Null()])

/** A page that is asked for: behind an id, up to a number. Ids sort by time, so that what is new comes last. */
export interface PageRequest {
  after: string | undefined
  limit: number
}

/** Of lists that older clients ask for, who know of no pages. */
export const sizeForOlderClients = 500

/**
 * The page that a query asks for.
 * @param list names the list: a token of one does not continue another
 * @param isId whether the list has such ids at all
 * @throws AppError 400 for a token that this list has not given out
 */
export function readPage(
  list: string,
  query: { page_size?: number; continuation_token?: string },
  defaultSize = 50,
  isId: (text: string) => boolean = () => true,
): PageRequest {
  const { page_size: limit = defaultSize, continuation_token: token } = query
  if (token === undefined) return { after: undefined, limit }
  const text = Buffer.from(token, 'base64url').toString('utf8')
  const [name, after, ...more] = text.split('\n')
  if (
    name !== list ||
    !after ||
    !isId(after) ||
    more.length > 0 ||
    after.includes('\0') ||
    Buffer.from(text).toString('base64url') !== token
  )
    throw new AppError(
      'invalid_request',
      400,
      'continuation_token is not one of this list. Leave it out to begin again.',
    )
  return { after, limit }
}

/** A page of what was read with one more than its limit, which tells whether there is another. */
export function toPage<Item>(
  list: string,
  page: PageRequest,
  rows: readonly Item[],
  idOf: (row: Item) => string,
): { items: Item[]; continuation_token: string | null } {
  const items = rows.slice(0, page.limit)
  const last = items.at(-1)
  const token = last && rows.length > page.limit ? continuationToken(list, idOf(last)) : null
  return { items, continuation_token: token }
}

/** The token by which a list goes on behind an id. */
export function continuationToken(list: string, after: string): string {
  return Buffer.from(`${list}\n${after}`).toString('base64url')
}
