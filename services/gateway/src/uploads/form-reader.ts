import { Dicer } from '@fastify/busboy'
import { FormFrame, readParameters, wrongForm } from './form-frame.ts'

/** What is known of a form when all of it has passed. */
export interface ReadForm {
  /** Texts of the wanted fields that are there. */
  fields: ReadonlyMap<string, string>
  /** Bytes of each field and file, by name; of fields that come more than once, together. */
  bytes: ReadonlyMap<string, number>
  /** How many files there are of each name. */
  files: ReadonlyMap<string, number>
}

const maxParts = 128
const maxHeaderBytes = 8 * 1024
const maxHeaderLines = 16
/** Bytes of a wanted field, where nothing else is said. */
const defaultFieldBytes = 4 * 1024
const fieldName = /^[\w.[\]-]{1,64}$/

/**
 * Reads a form as it passes, in little memory. Strict where readers differ: a wanted field must be there once and be no file,
 * parts of one name are all files or none, and every part must say its name in one plain way.
 */
export class FormReader {
  readonly #wanted: ReadonlySet<string>
  readonly #maxFieldBytes: number
  readonly #frame: FormFrame
  readonly #dicer: Dicer
  readonly #fields = new Map<string, string>()
  readonly #bytes = new Map<string, number>()
  readonly #files = new Map<string, number>()
  readonly #finished: Promise<void>
  #parts = 0
  #open = 0
  #onAllRead: () => void = () => undefined
  #problem: Error | undefined

  constructor(boundary: string, wanted: ReadonlySet<string>, maxFieldBytes = defaultFieldBytes) {
    this.#wanted = wanted
    this.#maxFieldBytes = maxFieldBytes
    this.#frame = new FormFrame(boundary)
    this.#dicer = new Dicer({ boundary })
    this.#dicer.on('part', part => this.#onPart(part))
    this.#finished = new Promise(resolve => {
      this.#dicer.on('finish', () => resolve())
      this.#dicer.on('error', (error: Error) => {
        this.#problem ??= wrongForm('it ends early', error)
        resolve()
      })
    })
  }

  /** Takes the next bytes. @throws Refusal 400 */
  async write(chunk: Buffer): Promise<void> {
    this.#frame.take(chunk)
    // One that has read its last part calls back no more.
    await Promise.race([new Promise<void>(resolve => this.#dicer.write(chunk, () => resolve())), this.#finished])
    if (this.#problem) throw this.#problem
  }

  /** Everything has been written. @throws Refusal 400 */
  async finish(): Promise<ReadForm> {
    this.#frame.finish()
    this.#dicer.end()
    await this.#finished
    if (this.#problem) throw this.#problem
    await new Promise<void>(resolve => {
      this.#onAllRead = resolve
      if (this.#open === 0) resolve()
    })
    if (this.#problem) throw this.#problem
    return { fields: this.#fields, bytes: this.#bytes, files: this.#files }
  }

  #onPart(part: Dicer.PartStream): void {
    this.#parts += 1
    this.#open += 1
    if (this.#parts > maxParts) this.#refuse(`it has more than ${maxParts} parts`)
    let name: string | undefined
    let kept: Buffer[] | undefined
    part.on('header', header => {
      const read = this.#readHeader(header as Record<string, string[]>)
      if (!read) return
      name = read.name
      if (read.isFile) this.#files.set(name, (this.#files.get(name) ?? 0) + 1)
      else if (this.#wanted.has(name)) kept = []
    })
    part.on('data', chunk => {
      if (this.#problem || name === undefined) return
      const bytes = (this.#bytes.get(name) ?? 0) + chunk.length
      this.#bytes.set(name, bytes)
      if (kept && bytes > this.#maxFieldBytes) this.#refuse(`its "${name}" is longer than ${this.#maxFieldBytes} bytes`)
      else kept?.push(chunk as Buffer)
    })
    part.on('error', () => undefined)
    part.on('end', () => {
      this.#open -= 1
      if (this.#open === 0) this.#onAllRead()
      if (name === undefined) this.#refuse('a part of it has no name')
      else if (kept) this.#fields.set(name, Buffer.concat(kept).toString('utf8'))
    })
  }

  #readHeader(header: Record<string, string[]>): { name: string; isFile: boolean } | undefined {
    const lines = Object.values(header).flat()
    const dispositions = header['content-disposition'] ?? []
    const encodings = header['content-transfer-encoding'] ?? []
    const length = lines.reduce((sum, line) => sum + line.length, 0)
    if (length > maxHeaderBytes || lines.length > maxHeaderLines) return this.#refuse('a part has too large a head')
    if (encodings.some(encoding => !/^(7bit|8bit|binary)$/i.test(encoding.trim())))
      return this.#refuse('a part of it is encoded')
    const parameters = readParameters(dispositions[0] ?? '', 'form-data')
    const name = parameters?.get('name')
    if (dispositions.length !== 1 || !parameters || name === undefined || parameters.has('name*'))
      return this.#refuse('a part of it does not say one name')
    if (!fieldName.test(name)) return this.#refuse('a part of it has a name that no field has')
    const isFile = parameters.has('filename') || parameters.has('filename*')
    if (this.#wanted.has(name)) {
      if (isFile) return this.#refuse(`its "${name}" is a file`)
      if (this.#bytes.has(name)) return this.#refuse(`it names "${name}" twice`)
    }
    if (!this.#bytes.has(name)) this.#bytes.set(name, 0)
    else if (isFile !== this.#files.has(name)) return this.#refuse(`its "${name}" is a file, and is none`)
    return { name, isFile }
  }

  #refuse(what: string): undefined {
    this.#problem ??= wrongForm(what)
    return undefined
  }
}
