import { createHash } from 'node:crypto'
import { type Bus, openRecords } from '@sluice/bus'
import { StoredFile, storedFileKey } from '@sluice/contracts'

/** Which project has uploaded which file, read from KV `files` when it is asked: files are asked for seldom. */
export interface StoredFilesView {
  find: (projectId: string, fileId: string) => Promise<StoredFile | undefined>
  ofProject: (projectId: string) => Promise<StoredFile[]>
  /** Resolves when the file is kept. */
  keep: (file: StoredFile) => Promise<void>
}

export async function openStoredFiles(bus: Bus): Promise<StoredFilesView> {
  const records = await openRecords(bus, 'files', StoredFile)
  const keyOf = (projectId: string, fileId: string): string =>
    storedFileKey(projectId, createHash('sha256').update(fileId).digest('hex').slice(0, 32))
  return {
    find: async (projectId, fileId) => (await records.get(keyOf(projectId, fileId)))?.value,
    ofProject: async projectId => {
      const keys = await records.keys(`${projectId}.*`)
      const found = await Promise.all(keys.map(key => records.get(key)))
      return found.flatMap(record => record?.value ?? [])
    },
    keep: async file => {
      await records.create(keyOf(file.project_id, file.file_id), file)
    },
  }
}
