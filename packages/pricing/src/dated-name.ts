/** How providers date the versions of a model: `-2026-03-05`, `-20251101`, formerly `-0613`. */
const date = /-(?:\d{4}-\d{2}-\d{2}|\d{8}|\d{4})$/

/** Whether a name is that of one version. */
function isDated(name: string): boolean {
  return date.test(name)
}

/** Whether replies name a version of the model `asked` so: its name, or that of its latest version, with a date. */
export function isDatedNameOf(served: string, asked: string): boolean {
  return isDated(served) && served.replace(date, '') === asked.replace(/-latest$/, '')
}
