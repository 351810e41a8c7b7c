import type { Call } from '../call.ts'
import { errorOfStatus } from '../provider-error.ts'

/** A multipart form: the texts of its fields, and its files in order. */
export interface Form {
  readonly text: (name: string) => string | undefined
  readonly files: readonly { readonly name: string; readonly bytes: Buffer }[]
}

/** Reads a form; throws the dialect's 400 where the body is none. Its files are views of the body: pictures come by the megabyte. */
export function readForm(call: Call): Form {
  const [, quoted, bare] = /^multipart\/form-data\s*;.*\bboundary=(?:"([^"]+)"|([^\s;]+))/i.exec(
    call.headers['content-type'] ?? '',
  ) ?? ['', '', '']
  const texts = new Map<string, string>()
  const files: { name: string; bytes: Buffer }[] = []
  for (const { head, bytes } of partsOf(call.bytes, quoted ?? bare ?? '')) {
    const name = parameterIn(head, 'name')
    if (name === undefined) throw noForm()
    if (parameterIn(head, 'filename') === undefined) texts.set(name, bytes.toString())
    else files.push({ name, bytes })
  }
  return { text: name => texts.get(name), files }
}

function* partsOf(body: Buffer, boundary: string): Generator<{ head: string; bytes: Buffer }> {
  const between = Buffer.from(`\r\n--${boundary}`)
  const first = between.subarray(2)
  if (boundary === '' || !body.subarray(0, first.length).equals(first)) throw noForm()
  for (let at = first.length; body.toString('latin1', at, at + 2) !== '--'; ) {
    const headEnd = body.indexOf('\r\n\r\n', at)
    const end = headEnd < 0 ? -1 : body.indexOf(between, headEnd + 4)
    if (end < 0 || body.toString('latin1', at, at + 2) !== '\r\n') throw noForm()
    yield { head: body.toString('utf8', at, headEnd), bytes: body.subarray(headEnd + 4, end) }
    at = end + between.length
  }
}

/** Of the part's `Content-Disposition`, as browsers write it. */
function parameterIn(head: string, name: string): string | undefined {
  const [, line = ''] = /^content-disposition:\s*form-data(;.*)$/im.exec(head) ?? []
  const value = new RegExp(`;\\s*${name}="([^"]*)"`, 'i').exec(line)?.[1]
  return value?.replaceAll(/%(22|0d|0a)/gi, decodeURIComponent)
}

function noForm(): Error {
  return errorOfStatus('openai', 400, 'The request body is not a multipart form.')
}
