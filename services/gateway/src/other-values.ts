/** So long it holds that a value has no copy of its own, where a home has said so. */
const knownMs = 60_000
/** Values of which a home has said so: more of them are asked about again. */
const most = 10_000

/** Values of one budget that share the copy of all others, as homes have said. */
export class OtherValues {
  /** Until when that is known. */
  readonly #untilMs = new Map<string, number>()

  /** @param endMs of the window in which that is so */
  note(value: string, endMs: number | undefined, nowMs: number): void {
    if (this.#untilMs.size >= most) this.#untilMs.clear()
    this.#untilMs.set(value, Math.min(endMs ?? Number.POSITIVE_INFINITY, nowMs + knownMs))
  }

  has(value: string, nowMs: number): boolean {
    return (this.#untilMs.get(value) ?? 0) > nowMs
  }
}
