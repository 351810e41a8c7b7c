import type { Endpoint } from '../endpoints.ts'

/** Turns of a call whose sound goes past this gateway: metered on the socket that joins it. */
export const callEndpoint: Endpoint = {
  name: 'realtime.calls',
  dialect: 'openai',
  transport: 'websocket',
  method: 'GET',
  path: '/v1/realtime',
  operation: 'chat',
  handledBy: 'provider',
  body: 'none',
  model: 'query',
  shape: 'responses',
  streamable: true,
  free: false,
  maxBodyBytes: 0,
  takesClientSecrets: true,
}

/** What was heard in a realtime session and written down: no path of its own, a row of its own in events. */
export const transcriptionEndpoint: Endpoint = {
  name: 'realtime.transcription',
  dialect: 'openai',
  transport: 'websocket',
  method: 'GET',
  path: '/v1/realtime',
  operation: 'transcription',
  handledBy: 'provider',
  body: 'none',
  model: 'turns',
  shape: 'token-count',
  streamable: true,
  free: false,
  maxBodyBytes: 0,
}
