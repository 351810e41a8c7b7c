import type { JsonPath } from '../scan-json.ts'

/** What a provider keeps under an id. */
export type ReferenceKind =
  | 'response'
  | 'conversation'
  | 'item'
  | 'file'
  | 'container'
  | 'vector_store'
  | 'prompt'
  | 'skill'
  | 'audio'
  | 'voice'

/** A place of a request that has its provider read what is kept there. */
export interface Reference {
  kind: ReferenceKind
  id: string
}

/** More than any client names in earnest. */
export const maxReferences = 1_000

/** Of an element of a list called `input`. */
interface Item {
  ids: string[]
  type: string | undefined
  hasRole: boolean
  /** What it is about stands in it. */
  hasContent: boolean
}

/**
 * Finds what a request refers to, told by who reads its JSON, whatever the depth. What a client only tells of is none of it:
 * metadata, schemas and arguments of its own tools, citations in earlier answers.
 *
 * Places as the two providers document them: `item_reference` may leave its type out, and items of reasoning and images that
 * come without their content are read by id (platform.openai.com/docs/api-reference/responses/create); containers and skills
 * of Messages (platform.claude.com/docs/en/agents-and-tools/tool-use/code-execution-tool).
 */
export class ReferenceReader {
  readonly found: Reference[] = []
  readonly #at: number
  readonly #whole: boolean
  /** By the depth at which they stand: lists may be nested. */
  readonly #items: (Item | undefined)[] = []

  /**
   * @param at names before the request's own in each path
   * @param whole top-level members by which a request goes on from something are read too
   */
  constructor(at: number, { whole }: { whole: boolean }) {
    this.#at = at
    this.#whole = whole
  }

  /** To be asked for each text. */
  wants(path: JsonPath): boolean {
    if (isItemMember(path) && !this.#isOnlyTold(path)) this.#noteMember(path)
    return this.#readsItem(path) !== undefined || this.#kindAt(path) !== undefined
  }

  /** To be told each text that `wants` wanted. */
  onText(path: JsonPath, text: string): void {
    const item = this.#readsItem(path)
    if (item && path.at(-1) === 'id') item.ids.push(text)
    else if (item) item.type = text
    const kind = this.#kindAt(path)
    // Skills of the provider's own have names, others have ids.
    if (kind !== undefined && (kind !== 'skill' || text.startsWith('skill_'))) this.#add({ kind, id: text })
  }

  /** To be told of each object and array that ends. */
  onClose(path: JsonPath): void {
    const item = this.#items[path.length]
    if (!item) return
    this.#items[path.length] = undefined
    if (isReference(item)) for (const id of item.ids) this.#add({ kind: 'item', id })
  }

  #add(reference: Reference): void {
    if (this.found.length <= maxReferences) this.found.push(reference)
  }

  #noteMember(path: JsonPath): void {
    const depth = path.length - 1
    this.#items[depth] ??= { ids: [], type: undefined, hasRole: false, hasContent: false }
    const item = this.#items[depth]
    const name = path.at(-1)
    if (name === 'role') item.hasRole = true
    if (name === 'encrypted_content' || name === 'result') item.hasContent = true
  }

  #readsItem(path: JsonPath): Item | undefined {
    const name = path.at(-1)
    return (name === 'id' || name === 'type') && isItemMember(path) ? this.#items[path.length - 1] : undefined
  }

  /** Where the request's own members begin: an event of a socket may have them in its `response` or `session`. */
  #from(path: JsonPath): number {
    const first = path[this.#at]
    return first === 'response' || first === 'session' ? this.#at + 1 : this.#at
  }

  #kindAt(path: JsonPath): ReferenceKind | undefined {
    const kind = this.#kindNamed(path)
    return kind !== undefined && this.#isOnlyTold(path) ? undefined : kind
  }

  #kindNamed(path: JsonPath): ReferenceKind | undefined {
    const from = this.#from(path)
    let at = path.length - 1
    // An element has its array's name.
    while (at > from && typeof path[at] === 'number') at--
    const name = path[at]
    const isTop = at === from
    switch (name) {
      case 'file_id':
      case 'file_ids':
        return 'file'
      case 'vector_store_id':
      case 'vector_store_ids':
        return 'vector_store'
      case 'container':
      case 'container_id':
        return 'container'
      case 'skill_id':
        return 'skill'
      case 'previous_response_id':
        return this.#whole && isTop ? 'response' : undefined
      case 'conversation':
        return this.#whole && isTop ? 'conversation' : undefined
      case 'id':
        return this.#kindOfId(path[at - 1], at - 1 === from)
      default:
        return undefined
    }
  }

  /** @param owner what the object is called that the id stands in */
  #kindOfId(owner: string | number | undefined, isTop: boolean): ReferenceKind | undefined {
    if (owner === 'container') return 'container'
    if (owner === 'prompt') return isTop ? 'prompt' : undefined
    if (owner === 'audio') return 'audio'
    if (owner === 'voice') return 'voice'
    return owner === 'conversation' && this.#whole && isTop ? 'conversation' : undefined
  }

  #isOnlyTold(path: JsonPath): boolean {
    const from = this.#from(path)
    const member = path[from]
    const isInside = (name: string): boolean => path.indexOf(name, from + 1) >= 0
    if (member === 'metadata') return true
    if (member === 'tools') return isInside('parameters') || isInside('input_schema')
    // A call of a tool in Anthropic's dialect has its arguments as an object.
    return isInside('annotations') || (member === 'messages' && isInside('input'))
  }
}

function isItemMember(path: JsonPath): boolean {
  return typeof path.at(-2) === 'number' && path.at(-3) === 'input'
}

/** False where an item says itself what it is about: its id is then only what it was called. */
function isReference({ type, hasRole, hasContent }: Item): boolean {
  if (type === undefined) return !hasRole
  if (type === 'item_reference') return true
  if (type === 'image_generation_call') return !hasContent
  return !hasContent && !/^message$|^mcp_|_call$|_output$/.test(type)
}
