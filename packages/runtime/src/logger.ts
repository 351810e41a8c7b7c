import { type Logger, pino } from 'pino'

export type { Logger } from 'pino'

/** Paths that are struck out wherever a log line carries them. Lines never carry bodies or headers in the first place. */
const redactedPaths = [
  'authorization',
  'headers',
  '*.authorization',
  '*.headers',
  'password',
  '*.password',
  'secret',
  '*.secret',
  'apiKey',
  '*.apiKey',
  'api_key',
  '*.api_key',
  'token',
  '*.token',
  'body',
  '*.body',
]

/** The process's logger: JSON lines on stdout, redacted. */
export function createLogger(service: string, level = 'info'): Logger {
  return pino({
    level,
    base: { service },
    redact: { paths: redactedPaths, censor: '[redacted]' },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: label => ({ level: label }) },
  })
}
