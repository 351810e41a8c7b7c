import { headerLines } from './encode-request.ts'

/** Headers that many requests have: what is written of them is made once. */
export class RepeatedHeaders {
  /** Name, value, name, value … */
  readonly flat: readonly string[]
  /** As they are written; undefined where they cannot stand in a request. */
  readonly lines: string | undefined

  constructor(flat: readonly string[]) {
    this.flat = flat
    this.lines = headerLines(flat)
  }
}
