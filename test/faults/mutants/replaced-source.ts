import type { LoadFnOutput } from 'node:module'
import type { Replacement } from '../mutant.ts'

/** A module that was loaded, read otherwise where its path ends as that of a replacement. */
export function replaceSource(url: string, loaded: LoadFnOutput, replacements: readonly Replacement[]): LoadFnOutput {
  const wanted = replacements.filter(replacement => url.endsWith(replacement.file))
  if (wanted.length === 0) return loaded
  let text = loaded.source?.toString() ?? ''
  for (const { file, from, to } of wanted) {
    // A mutant that changes nothing would survive for the wrong reason.
    if (!text.includes(from)) throw new Error(`mutant: ${file} does not hold ${JSON.stringify(from)}`)
    text = text.replace(from, () => to)
  }
  return { ...loaded, source: text }
}
