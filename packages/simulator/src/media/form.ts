import type { Call } from '../call.ts'
import { errorOfStatus } from '../provider-error.ts'

/** A multipart form: the texts of its fields, and its files in order. */
export interface Form {
  readonly text: (name: string) => string | undefined
  readonly files: readonly { readonly name: string; readonly bytes: Buffer }[]
}

/** Reads a form; throws the dialect's 400 where the body is none. */
export async function readForm(call: Call): Promise<Form> {
  const type = call.headers['content-type'] ?? ''
  let data: FormData
  try {
    data = await new Response(new Uint8Array(call.bytes), { headers: { 'content-type': type } }).formData()
  } catch {
    throw errorOfStatus('openai', 400, 'The request body is not a multipart form.')
  }
  const texts = new Map<string, string>()
  const files: { name: string; bytes: Buffer }[] = []
  for (const [name, value] of data) {
    if (typeof value === 'string') texts.set(name, value)
    else files.push({ name, bytes: Buffer.from(await value.arrayBuffer()) })
  }
  return { text: name => texts.get(name), files }
}
