import { GetObjectCommand, ListObjectsV2Command, NoSuchKey, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import type { ArchiveStorage, ArchiveTarget } from './archive-storage.ts'

/** An archive in an S3-compatible store. A PUT is whole or not at all there, and durable when it is answered. */
export function s3Archive(target: Extract<ArchiveTarget, { kind: 's3' }>): ArchiveStorage {
  const { bucket: Bucket, prefix } = target
  const client = new S3Client({
    region: target.region,
    maxAttempts: 5,
    // Stores other than Amazon's know neither addresses by host nor checksums that nobody asked for.
    ...(target.endpoint === undefined ? {} : { endpoint: target.endpoint, forcePathStyle: true }),
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    ...(target.credentials === undefined ? {} : { credentials: target.credentials }),
  })
  return {
    place: `s3://${Bucket}/${prefix}`,
    async read(name) {
      try {
        const { Body } = await client.send(new GetObjectCommand({ Bucket, Key: prefix + name }))
        return Body === undefined ? undefined : Buffer.from(await Body.transformToByteArray())
      } catch (error) {
        if (error instanceof NoSuchKey) return undefined
        throw error
      }
    },
    async write(name, content) {
      await client.send(
        new PutObjectCommand({ Bucket, Key: prefix + name, Body: content, ContentLength: content.byteLength }),
      )
    },
    async list(wanted) {
      const names: string[] = []
      for (let token: string | undefined; ; ) {
        const page = await client.send(
          new ListObjectsV2Command({
            Bucket,
            Prefix: prefix + wanted,
            ...(token === undefined ? {} : { ContinuationToken: token }),
          }),
        )
        for (const { Key } of page.Contents ?? []) if (Key !== undefined) names.push(Key.slice(prefix.length))
        token = page.NextContinuationToken
        if (token === undefined) return names.sort()
      }
    },
    close: async () => client.destroy(),
  }
}
