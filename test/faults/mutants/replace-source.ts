/**
 * Loaded before a service: `SLUICE_MUTANT` names source to be read otherwise, as JSON. A mutant is the shipped program with
 * one defence taken away, so that what a scenario says of the defence is shown to depend on it.
 */
import { registerHooks } from 'node:module'
import type { Replacement } from '../mutant.ts'

const replacements = JSON.parse(process.env.SLUICE_MUTANT ?? '[]') as Replacement[]

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context)
    const wanted = replacements.filter(replacement => url.endsWith(replacement.file))
    if (wanted.length === 0) return loaded
    let text = loaded.source?.toString() ?? ''
    for (const { file, from, to } of wanted) {
      // A mutant that changes nothing would survive for the wrong reason.
      if (!text.includes(from)) throw new Error(`mutant: ${file} does not hold ${JSON.stringify(from)}`)
      text = text.replace(from, () => to)
    }
    return { ...loaded, source: text }
  },
})
