import { mkdirSync, utimesSync, watch, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from '@sluice/runtime'

const handedOverFile = 'handed-over'

/** Tells siblings that a journal below this root is free now: they need not wait for their next look. */
export function handOver(root: string): void {
  const path = join(root, handedOverFile)
  writeFileSync(path, '', { flag: 'a' })
  const now = new Date()
  utimesSync(path, now, now)
}

/**
 * Calls `look` when a sibling hands its journal over. Where the system cannot watch, siblings find it at their next look.
 * @returns ends the watching
 */
export function onHandOver(root: string, look: () => void, log: Logger): () => void {
  mkdirSync(root, { recursive: true })
  try {
    const watcher = watch(root, { persistent: false }, (_event, name) => {
      if (name === handedOverFile) look()
    })
    watcher.on('error', err => log.warn({ err, root }, 'root of the journals not watched any more'))
    return () => watcher.close()
  } catch (err) {
    log.warn({ err, root }, 'root of the journals cannot be watched')
    return () => {}
  }
}
