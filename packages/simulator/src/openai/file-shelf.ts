/** A file somebody has uploaded. */
export interface ShelvedFile {
  readonly id: string
  /** Files are seen by the credential that uploaded them. */
  readonly credentialSha256: string
  readonly filename: string
  readonly purpose: string
  readonly createdAt: number
  readonly bytes: Buffer
}

const FILES_KEPT = 1_000

/** The uploaded files, of which the oldest make room. */
export class FileShelf {
  readonly #byId = new Map<string, ShelvedFile>()

  add(file: ShelvedFile): void {
    this.#byId.set(file.id, file)
    const [oldest] = this.#byId.keys()
    if (this.#byId.size > FILES_KEPT && oldest !== undefined) this.#byId.delete(oldest)
  }

  find(id: string, credentialSha256: string): ShelvedFile | undefined {
    const found = this.#byId.get(id)
    return found?.credentialSha256 === credentialSha256 ? found : undefined
  }

  of(credentialSha256: string): ShelvedFile[] {
    return [...this.#byId.values()].filter(file => file.credentialSha256 === credentialSha256)
  }

  delete(id: string): void {
    this.#byId.delete(id)
  }
}
