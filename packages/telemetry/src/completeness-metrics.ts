import { gauge } from './metrics.ts'

/** What a consumer of usage knows that it lacks. */
export interface CompletenessFigures {
  missingEvents: number
  oldestGapMs: number
  deadLetters: number
  discardedLetters: number
}

/** The gauges behind the alarms of missing usage. @param service its name in metrics, like `billing` */
export function completenessMetrics(service: string): (figures: CompletenessFigures) => void {
  const missing = gauge(`sluice_${service}_missing_events`, 'Events that a gateway has numbered and that have not come')
  const oldest = gauge(`sluice_${service}_oldest_gap_seconds`, 'Age of the oldest gap in a series of events; 0: none')
  const dead = gauge(`sluice_${service}_dead_letters`, 'Messages or events that wait for a person')
  const discarded = gauge(`sluice_${service}_discarded_letters`, 'Messages or events that a person has given up')
  return figures => {
    missing.set(figures.missingEvents)
    oldest.set(figures.oldestGapMs / 1_000)
    dead.set(figures.deadLetters)
    discarded.set(figures.discardedLetters)
  }
}
