import type { Call } from './call.ts'
import type { Metered } from './cost.ts'
import type { Directives } from './directives.ts'
import type { Frame } from './frames.ts'
import { Pace } from './pace.ts'
import { playStream } from './play-stream.ts'
import { playWhole } from './play-whole.ts'
import { Production } from './production.ts'
import { reportUsage } from './report-usage.ts'
import type { Script } from './script.ts'
import type { StreamTrouble } from './stream-faults.ts'

/** One generation in a dialect's terms. */
export interface Performance {
  readonly responseId: string
  readonly script: Script
  readonly streamed: boolean
  /** The whole answer with this usage in it; `undefined` leaves usage out. */
  readonly answer: (reported: Metered | undefined) => object
  /** The same answer as events. */
  readonly frames: (reported: Metered | undefined) => Iterable<Frame>
  readonly trouble: StreamTrouble
}

/** Plays a generation to its end, an injected fault or the client's leaving; its bill is closed with what was produced. */
export async function perform(call: Call, directives: Directives, performance: Performance): Promise<void> {
  const { script, streamed, trouble } = performance
  const production = new Production(call, script, performance)
  const pace = new Pace(directives)
  const reported = reportUsage(script.metered, directives)
  const frames = performance.frames(reported)
  if (streamed) await playStream({ call, directives, production, pace, frames, trouble })
  else await playWhole({ call, directives, production, pace, frames, answer: performance.answer(reported) })
}
