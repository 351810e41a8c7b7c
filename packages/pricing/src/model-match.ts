import { isDatedNameOf } from './dated-name.ts'

/** Which model names an entry speaks for. `versions_of`: the name itself, and each that dates a version of it. */
export type ModelMatch =
  | { equals: string }
  | { versions_of: string }
  | { starts_with: string }
  | { ends_with: string }
  | { contains: string }
  | { regex: string }
  | { or: ModelMatch[] }
  | { and: ModelMatch[] }

const regexes = new Map<string, RegExp>()

/** Whether `model` is one of those that `match` describes. */
export function matchesModel(match: ModelMatch, model: string): boolean {
  if ('equals' in match) return model === match.equals
  if ('versions_of' in match) return model === match.versions_of || isDatedNameOf(model, match.versions_of)
  if ('starts_with' in match) return model.startsWith(match.starts_with)
  if ('ends_with' in match) return model.endsWith(match.ends_with)
  if ('contains' in match) return model.includes(match.contains)
  if ('or' in match) return match.or.some(part => matchesModel(part, model))
  if ('and' in match) return match.and.every(part => matchesModel(part, model))
  let regex = regexes.get(match.regex)
  if (!regex) {
    regex = new RegExp(match.regex)
    regexes.set(match.regex, regex)
  }
  return regex.test(model)
}
