import { mayHaveEscapedNames } from '../escaped-names.ts'
import { type MemberSpan, walkJson } from '../scan-json.ts'

import { type Reference, ReferenceReader } from './reference-reader.ts'

const quote = 0x22

/** Where a request of this kind may name what its provider keeps. */
export interface SearchedBody {
  body: Buffer
  /** What may be named there beside files. */
  names: 'items-and-tools' | 'spoken-answers' | 'prompts-and-voices' | 'nothing-more'
  /** It has a `prompt` or `container` of its own: it is read whatever else it says. */
  isNamed?: boolean
  /** Where the items and the tools stand in the body, where that is known: they are searched there alone. */
  input?: MemberSpan | undefined
  tools?: MemberSpan | undefined
}

/**
 * What a request refers to at its provider, at any depth, names with escapes included.
 * @param searched a JSON object that `scanObject` has passed
 * @throws JsonScanError where a name or an id is no JSON text
 */
export function findReferences(searched: SearchedBody): Reference[] {
  return searched.isNamed === true || mayRefer(searched) ? walk(searched.body) : []
}

function walk(body: Buffer): Reference[] {
  const reader = new ReferenceReader(0, { whole: false })
  walkJson(body, { start: 0, end: body.length }, reader)
  return reader.found
}

/** Says no for nearly every request, at the price of a few native searches. */
function mayRefer({ body, names, input, tools }: SearchedBody): boolean {
  if (body.includes('file_id') || mayHaveEscapedNames(body)) return true
  switch (names) {
    case 'nothing-more':
      return false
    case 'spoken-answers':
      return body.includes('"audio"')
    case 'prompts-and-voices':
      return body.includes('"prompt"') || body.includes('"voice"')
    case 'items-and-tools': {
      const tool = sliceOf(body, tools)
      if (['vector_store_id', '"container', 'skill_id'].some(name => tool.includes(name))) return true
      const items = sliceOf(body, input)
      return items[0] !== quote && ['"id"', 'container_id'].some(name => items.includes(name))
    }
  }
}

function sliceOf(body: Buffer, span: MemberSpan | undefined): Buffer {
  return span ? body.subarray(span.start, span.end) : body
}
