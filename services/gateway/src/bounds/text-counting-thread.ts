import { parentPort } from 'node:worker_threads'
import { loadVocabulary } from '../token-counter.ts'

// A thread of `text-counting.ts`: counts what it is given, one text after the other.

const countTokens = loadVocabulary()
parentPort?.on('message', ({ id, text }: { id: number; text: string }) => {
  parentPort?.postMessage({ id, tokens: countTokens(text.toWellFormed(), { disallowedSpecial: new Set() }) })
})
