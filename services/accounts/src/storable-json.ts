const maxDepth = 64

/** Whether a JSON value is kept as it is: no NUL, no half of a surrogate pair in a name or a value, not nested beyond measure. */
export function isStorable(value: unknown, depth = maxDepth): boolean {
  if (typeof value === 'string') return value.isWellFormed() && !value.includes('\u0000')
  if (typeof value !== 'object' || value === null) return true
  if (depth === 0) return false
  return Object.entries(value).every(([name, inner]) => isStorable(name) && isStorable(inner, depth - 1))
}
