import type { Dialect } from '@sluice/contracts'
import { mayHaveEscapedNames } from '../escaped-names.ts'
import { type MemberSpan, type ScannedObject, walkJson } from '../scan-json.ts'

import { type NamedModel, NamedModelReader } from './named-model-reader.ts'

/** Top-level members in which more models may be named: to be wanted of the scan. */
export const namingMembers = ['tools', 'fallbacks', 'models', 'input', 'messages', 'svg'] as const

const quote = 0x22
const colon = 0x3a
const openBrace = 0x7b
const openBracket = 0x5b
const none: readonly NamedModel[] = []

/** An object that names models: a request, or the part of an event that is one. */
export interface NamingObject extends Pick<ScannedObject, 'members'> {
  bytes: Buffer
  dialect: Dialect
  /** Where it stands in what the client has sent. */
  names?: readonly string[]
}

/**
 * The models that a request names beside its own. Native searches say no for nearly every request: one over its tools, and
 * one over its items, which may bring tools too.
 * @throws JsonScanError, Refusal 400
 */
export function findNamedModels({ bytes, members, dialect, names = [] }: NamingObject): readonly NamedModel[] {
  let reader: NamedModelReader | undefined
  const read = (name: string, span: MemberSpan): void => {
    reader ??= new NamedModelReader(names.length)
    walkJson(bytes, span, reader, [...names, name])
  }
  // A list of models needs no member called "model".
  for (const name of ['fallbacks', 'models']) {
    const span = members.get(name)
    if (span) read(name, span)
  }
  for (const name of ['tools', 'svg']) {
    const span = members.get(name)
    if (span && mayName(bytes, span)) read(name, span)
  }
  const [items, definition] = dialect === 'anthropic' ? ['messages', '"definition"'] : ['input', '"tools"']
  const span = members.get(items)
  if (span && mayName(bytes, span, definition)) read(items, span)
  return reader?.found ?? none
}

/** @param within a name that must be there, too */
function mayName(bytes: Buffer, { start, end }: MemberSpan, within?: string): boolean {
  const first = bytes[start]
  if (first !== openBracket && first !== openBrace) return false
  const value = bytes.subarray(start, end)
  if (mayHaveEscapedNames(value)) return true
  return hasTextCalledModel(value) && (within === undefined || value.includes(within))
}

/** Schemas have members called `model`, too, but those are objects. */
function hasTextCalledModel(value: Buffer): boolean {
  // Quotes are many in JSON, this letter is not.
  for (let at = value.indexOf('model"'); at >= 0; at = value.indexOf('model"', at + 6)) {
    if (value[at - 1] !== quote) continue
    const behind = skipSpace(value, at + 6)
    if (value[behind] === colon && value[skipSpace(value, behind + 1)] === quote) return true
  }
  return false
}

function skipSpace(bytes: Buffer, from: number): number {
  let at = from
  while (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09) at++
  return at
}
