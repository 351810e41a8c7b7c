import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findUnprivilegedUser } from './unprivileged-user.ts'

test("root's PostgreSQL runs as postgres, else as nobody", () => {
  const nobody = 'root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/usr/sbin/nologin\n'
  assert.deepEqual(findUnprivilegedUser(nobody), { uid: 65534, gid: 65534 })
  assert.deepEqual(findUnprivilegedUser(`${nobody}postgres:x:101:103::/:/bin/sh\n`), { uid: 101, gid: 103 })
  assert.equal(findUnprivilegedUser('root:x:0:0::/root:/bin/sh\n'), undefined)
})
