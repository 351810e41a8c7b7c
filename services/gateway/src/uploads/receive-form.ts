import type { IncomingMessage } from 'node:http'
import { FormReader, type ReadForm } from './form-reader.ts'
import { receiveIntoFile } from './receive-body.ts'
import type { Spool, SpooledFile } from './spool.ts'

/** A form that has arrived: its bytes on disk, and what they say. */
export interface ReceivedForm extends ReadForm {
  file: SpooledFile
  boundary: string
}

/** Receives a body that is a form. @throws Refusal as {@link receiveIntoFile}, and 400 for what is no form */
export async function receiveForm(
  spool: Spool,
  request: IncomingMessage,
  form: { boundary: string; wanted: ReadonlySet<string>; maxBytes: number },
): Promise<ReceivedForm> {
  const reader = new FormReader(form.boundary, form.wanted)
  const { file, read } = await receiveIntoFile(spool, request, form.maxBytes, reader)
  return { ...read, file, boundary: form.boundary }
}
