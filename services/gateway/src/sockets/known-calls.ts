import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Of a gateway's notes, in the directory of its journal. */
export const callsFolder = 'calls'

/** A call that runs at the provider. */
export interface KnownCall {
  callId: string
  projectId: string
}

/** One with the access it was made by; notes of earlier versions name none. */
export interface NotedCall extends KnownCall {
  access?: string
}

/**
 * The calls that this gateway has made and whose clients have no answer yet, a file each: a killed process leaves them here,
 * and whoever has its directory next hangs them up.
 */
export class KnownCalls {
  readonly #directory: string
  constructor(directory: string) {
    this.#directory = directory
  }

  add({ callId, projectId, access }: Required<NotedCall>): void {
    mkdirSync(this.#directory, { recursive: true })
    writeFileSync(this.#pathOf(callId), JSON.stringify({ callId, projectId, access } satisfies NotedCall))
  }

  remove(callId: string): void {
    rmSync(this.#pathOf(callId), { force: true })
  }

  list(): NotedCall[] {
    try {
      return readdirSync(this.#directory)
        .filter(name => name.startsWith('call-'))
        .map(name => JSON.parse(readFileSync(join(this.#directory, name), 'utf8')) as NotedCall)
    } catch {
      return []
    }
  }

  /** Ids are letters, digits and `_ . : -`; behind the prefix none of them leads elsewhere. */
  #pathOf(callId: string): string {
    return join(this.#directory, `call-${callId}`)
  }
}
