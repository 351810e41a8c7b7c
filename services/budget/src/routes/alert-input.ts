import { type Budget, Type } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import { mayHaveThresholds, mostThresholds, thresholdRange } from '../alerts/threshold.ts'
import { errors } from '../errors.ts'

export const Thresholds = Type.Array(Type.Integer(thresholdRange), {
  maxItems: mostThresholds,
  description: 'Whole per cents of the limit in force at which destinations are told, each once a window',
})

export const ForecastAlert = Type.Boolean({
  description: 'Whether destinations are told once a window that the money will not last to its end',
})

/** @throws AppError 400 where a rate limit is to tell of something */
export function requireNoRate(
  budget: Pick<Budget, 'unit' | 'window'>,
  input: { thresholds?: readonly number[]; forecast_alert?: boolean },
): void {
  const tells = (input.thresholds?.length ?? 0) > 0 || input.forecast_alert === true
  if (tells && !mayHaveThresholds(budget)) throw errorOf(errors.thresholdsOfRate)
}
