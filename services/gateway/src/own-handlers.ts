import { createFileBatch } from './batches/create-file-batch.ts'
import { createMessageBatch } from './batches/create-message-batch.ts'
import { listBatches } from './batches/list-batches.ts'
import { deleteBatch, downloadResults, readBatch } from './batches/read-batch.ts'
import { handleFile } from './files/handle-file.ts'
import { forwardMedia, forwardUpload } from './forward-media.ts'
import { listModels } from './list-models.ts'
import type { GatewayDeps, HttpCall } from './request-path.ts'
import { createClientSecret } from './sockets/create-client-secret.ts'
import { createRealtimeCall, hangUpRealtimeCall } from './sockets/realtime-calls.ts'
import { askForResponse, createResponse } from './stored/create-response.ts'

/** Does everything for a call that is authenticated and not admitted yet. What it throws is answered as a refusal. */
export type EndpointHandler = (deps: GatewayDeps, call: HttpCall) => void | Promise<void>

/** What is done for rows of the endpoint table that are not simply forwarded. */
export const ownHandlers = {
  'models-list': listModels,
  'message-batch-create': createMessageBatch,
  'file-batch-create': createFileBatch,
  'batch-list': listBatches,
  'batch-read': readBatch,
  'batch-results': downloadResults,
  'batch-delete': deleteBatch,
  'client-secret': createClientSecret,
  'realtime-call': createRealtimeCall,
  'realtime-hangup': hangUpRealtimeCall,
  file: handleFile,
  media: forwardMedia,
  upload: forwardUpload,
  'create-response': createResponse,
  'ask-for-response': askForResponse,
} satisfies Record<string, EndpointHandler>

export type OwnHandler = keyof typeof ownHandlers
