import { ReferenceReader } from '../references/reference-reader.ts'
import { Refusal } from '../refusal.ts'

const named = {
  response: 'an earlier response',
  conversation: 'a conversation',
  item: 'an earlier item by its id',
  file: 'a file',
  container: 'a container',
  vector_store: 'a vector store',
  prompt: 'a saved prompt',
  skill: 'a skill',
  audio: 'an earlier spoken answer',
  voice: 'a voice',
} as const

/**
 * Refuses a batch under the operator's credential whose requests refer to what is kept there: who has made it is known for
 * one request, not for a hundred thousand.
 */
export class BatchReferences extends ReferenceReader {
  /** @param at names in front of a request's own in each path */
  constructor(at: number) {
    super(at, { whole: true })
  }

  /** @param where the request in the client's own terms @throws Refusal where it refers to anything */
  endRequest(where: string): void {
    const [reference] = this.found
    if (!reference) return
    throw new Refusal(
      'invalid_request',
      `${where} names ${named[reference.kind]} ("${reference.id.slice(0, 128)}"): under the operator's credential the requests of a batch say everything themselves. Send what it holds, or use an integration of the project's own.`,
    )
  }
}
