export * from './api-key.ts'
export * from './app-error.ts'
export * from './closing-stack.ts'
export * from './config-reader.ts'
export * from './dead-letter-routes.ts'
export {
  createSecretBox,
  type EnvelopeBinding,
  EnvelopeError,
  type SecretBox,
} from './envelope.ts'
export * from './gap-routes.ts'
export * from './guard-routes.ts'
export * from './ip-ranges.ts'
export * from './limit-closing.ts'
export * from './logger.ts'
export * from './openapi.ts'
export * from './operator-server.ts'
export * from './operator-word.ts'
export * from './parse-unambiguous.ts'
export * from './plain-text.ts'
export * from './public-address.ts'
export * from './rebuild-routes.ts'
export * from './rest-auth.ts'
export * from './rest-error-handler.ts'
export * from './route-schemas.ts'
export * from './session-cookie.ts'
export * from './tenant-scope.ts'
export * from './token-box.ts'
