/** How far the bound of a call reaches. */
export type BoundKind =
  /** Nothing that the provider charges is above it. */
  | 'exact'
  /** It holds for one step of what goes on: a turn, a file. */
  | 'by the tick'
  /** Nothing limits what the provider may charge: refused under a budget that holds exactly. */
  | 'none'
  /** It costs nothing. */
  | 'free'

/** By the endpoint's name. What of a single request has no bound, its bound says itself (`unboundedBy`). */
export const boundKinds: Readonly<Record<string, BoundKind>> = {
  'chat.completions': 'exact',
  responses: 'exact',
  'responses.compact': 'exact',
  'responses.websocket': 'by the tick',
  messages: 'exact',
  complete: 'exact',
  embeddings: 'exact',
  'audio.speech': 'exact',
  'audio.transcriptions': 'by the tick',
  'audio.translations': 'by the tick',
  'images.generations': 'exact',
  'images.edits': 'exact',
  'images.variations': 'exact',
  realtime: 'by the tick',
  'realtime.calls': 'by the tick',
  'messages.batches.create': 'exact',
  'batches.create': 'exact',
  'realtime.client_secrets': 'free',
  'realtime.sessions': 'free',
  'realtime.transcription_sessions': 'free',
  'realtime.calls.hangup': 'free',
  'responses.retrieve': 'free',
  'responses.delete': 'free',
  'responses.cancel': 'free',
  'responses.input_items': 'free',
  'responses.input_tokens': 'free',
  'messages.count_tokens': 'free',
  moderations: 'free',
  models: 'free',
  'files.upload': 'free',
  'files.list': 'free',
  'files.retrieve': 'free',
  'files.delete': 'free',
  'files.content': 'free',
  'batches.list': 'free',
  'batches.get': 'free',
  'batches.cancel': 'free',
  'messages.batches.list': 'free',
  'messages.batches.get': 'free',
  'messages.batches.cancel': 'free',
  'messages.batches.delete': 'free',
  'messages.batches.results': 'free',
}
