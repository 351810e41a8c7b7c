import { Refusal } from '../refusal.ts'
import type { Reference, ReferenceKind } from './reference-reader.ts'

const ownCredential = "With an integration of the project's own the provider decides."

/** What became of it, and what to send instead. */
const advice: Record<Exclude<ReferenceKind, 'response'>, (id: string) => string> = {
  conversation: () =>
    'This project has no such conversation: none is made through this proxy under the operator\'s credential. Leave "conversation" out and send what was said as "input", or go on by "previous_response_id".',
  item: id =>
    `Item with id '${id}' not found among what this project has made through this proxy. Send the item itself, or one of a response that was kept ("store").`,
  file: id =>
    `There is no file "${id}" in this project: under the operator's credential it has those that it uploaded through this proxy.`,
  container: id =>
    `There is no container "${id}" that this project has made through this proxy. Leave the id out to have one made.`,
  vector_store: id =>
    `There is no vector store "${id}" in this project: none is made through this proxy under the operator's credential.`,
  prompt: id =>
    `There is no prompt "${id}" in this project: none is saved through this proxy under the operator's credential. Send its text.`,
  skill: id =>
    `There is no skill "${id}" in this project: under the operator's credential only the provider's own skills can be used.`,
  audio: () =>
    'An earlier spoken answer cannot be named by its id under the operator\'s credential. Send its transcript as "content".',
  voice: id =>
    `There is no voice "${id}" in this project: under the operator's credential only the provider's own voices can be used.`,
}

/**
 * Says that a request may not refer to something, in the same words whether somebody else made it or nobody.
 * @throws Refusal always
 */
export function refuseReference({ kind, id }: Reference): never {
  const name = id.slice(0, 128)
  if (kind === 'response')
    throw new Refusal(
      'previous_response_not_found',
      `Previous response with id '${name}' not found among those that this project has made through this proxy and that were kept ("store"). Send what was said as "input". ${ownCredential}`,
    )
  throw new Refusal('not_found', `${advice[kind](name)} ${ownCredential}`)
}
