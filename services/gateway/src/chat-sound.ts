import type { QuantityName } from '@sluice/contracts'
import type { ScannedObject } from './scan-json.ts'

/** Sound that a chat request sends, or asks to be answered in: what its model must have a rate for. */
export function soundOfChat(body: Buffer, { members, binaryParts }: ScannedObject): readonly QuantityName[] {
  const modalities = members.get('modalities')
  const names: QuantityName[] = []
  // Looked for only where something is sent that is no text.
  if (binaryParts > 0 && body.includes('"input_audio"')) names.push('in_audio')
  if (modalities && body.toString('latin1', modalities.start, modalities.end).includes('"audio"'))
    names.push('out_audio')
  return names
}
