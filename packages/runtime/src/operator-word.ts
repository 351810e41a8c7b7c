/** Who gives something up, and why: kept with what was given up. */
export interface OperatorWord {
  by: string
  reason: string
}

/** Its schema, as the body of a request to the operator port. */
export const operatorWord = {
  type: 'object',
  required: ['by', 'reason'],
  additionalProperties: false,
  properties: {
    by: { type: 'string', minLength: 1, maxLength: 200, pattern: '\\S' },
    reason: { type: 'string', minLength: 3, maxLength: 2_000, pattern: '\\S' },
  },
} as const
