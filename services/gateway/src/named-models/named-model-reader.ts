import { isPlainText } from '@sluice/runtime'
import { Refusal } from '../refusal.ts'
import { type JsonPath, JsonScanError } from '../scan-json.ts'

/** A model that a request names beside its own. */
export interface NamedModel {
  model: string
  /** Where, in the client's own terms. */
  member: string
}

/** In place of a model: the provider is to choose one. */
export const anyModel = '*'

/** More than any client names in earnest. */
const maxNamedModels = 64

/**
 * Members of a tool that are the client's own affair: what it may be called with, and what is sent along to a server. Every
 * other `model` of a tool, at whatever depth, is taken for one that will be used, also in tools that nobody here knows.
 */
const clientsOwn = ['parameters', 'input_schema', 'input_examples', 'output_schema', 'annotations', 'headers']

/**
 * Finds the models that a request names beside its own `model`, told by who reads its JSON.
 *
 * Places as the two providers document them: `model` and `svg.model` of the image tool, and `svg.model` of an image;
 * items of the input that bring tools (platform.openai.com/docs/api-reference/responses/create, …/images); the advisor
 * tool, tools defined within `messages`, and `fallbacks` (platform.claude.com/docs/en/agents-and-tools/tool-use/advisor-tool,
 * …/build-with-claude/refusals-and-fallback). `fallbacks` and `models` as lists of names are what compatible servers take.
 */
export class NamedModelReader {
  readonly #found = new Map<string, NamedModel>()
  readonly #members = new Set<string>()
  readonly #at: number

  /** @param at names before the request's own in each path */
  constructor(at = 0) {
    this.#at = at
  }

  /** Each model once. */
  get found(): NamedModel[] {
    return [...this.#found.values()]
  }

  /** To be asked for each text. */
  wants(path: JsonPath): boolean {
    const last = path.at(-1)
    const first = path[this.#at]
    const depth = path.length - this.#at
    if (first === 'fallbacks' || first === 'models')
      return depth === 1 || (depth === 2 && typeof last === 'number') || (depth === 3 && last === 'model')
    if (last !== 'model' || depth < 2) return false
    switch (first) {
      case 'tools':
        return isUsed(path, this.#at + 1)
      case 'input':
        return isDefinedIn(path, 'tools', this.#at + 1)
      case 'messages':
        return isDefinedIn(path, 'definition', this.#at + 1)
      case 'svg':
        return depth === 2
      default:
        return false
    }
  }

  /**
   * To be told each text that `wants` wanted.
   * @throws JsonScanError where the same place names two @throws Refusal where it is none that could be served
   */
  onText(path: JsonPath, text: string): void {
    const member = memberAt(path)
    if (this.#members.has(member)) throw new JsonScanError(`The body names "${member}" twice.`)
    this.#members.add(member)
    const isChoice = path.length === this.#at + 1 && path[this.#at] === 'fallbacks'
    const model = isChoice ? anyModel : text
    if (this.#found.has(model)) return
    if (model === '' || model.length > 256 || !isPlainText(model))
      throw new Refusal('model_missing', `The "${member}" of the request is empty, too long, or no plain text.`)
    if (this.#found.size >= maxNamedModels)
      throw new Refusal('invalid_request', `At most ${maxNamedModels} different models may be named beside "model".`)
    this.#found.set(model, { model, member })
  }

  /** To be told where another request begins: it may name its models anew. */
  endRequest(): void {
    this.#members.clear()
  }
}

/** @param from where the members of the tools begin */
function isUsed(path: JsonPath, from: number): boolean {
  return !clientsOwn.some(name => path.indexOf(name, from) >= 0)
}

/** Of a list of items or messages: whether it is inside the definition of tools. */
function isDefinedIn(path: JsonPath, name: string, from: number): boolean {
  const at = path.indexOf(name, from)
  // What a call of a client's own tool was given is data.
  return at >= 0 && !path.slice(from, at).includes('input') && isUsed(path, at + 1)
}

/** `tools[0].svg.model` */
function memberAt(path: JsonPath): string {
  const member = path.map(name => (typeof name === 'number' ? `[${name}]` : `.${name}`)).join('')
  const named = member.startsWith('.') ? member.slice(1) : member
  return named.length <= 128 && isPlainText(named)
    ? named
    : `${String(path.find(name => typeof name === 'string')).slice(0, 64)}…`
}
