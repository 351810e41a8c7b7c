/** Headers as a library gives them, as name, value, name, value …; a header that came twice stands twice. */
export function flatHeaders(headers: Readonly<Record<string, string | string[] | undefined>>): string[] {
  const flat: string[] = []
  for (const [name, value] of Object.entries(headers)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined) flat.push(name, one)
  }
  return flat
}
