import { createServer } from 'node:tls'
import { parentPort, workerData } from 'node:worker_threads'

/** What the thread is given. */
export interface TlsProviderThread {
  key: string
  cert: string
  answer: string
  /** Connections, and requests that have been answered. */
  counts: Int32Array<SharedArrayBuffer>
}

const { key, cert, answer, counts } = workerData as TlsProviderThread

/** A provider that answers while its caller's thread is busy. */
const server = createServer({ key, cert }, socket => {
  Atomics.add(counts, 0, 1)
  socket.on('error', () => {})
  socket.on('data', () => {
    socket.write(answer, () => {
      Atomics.add(counts, 1, 1)
      Atomics.notify(counts, 1)
    })
  })
})
server.listen(0, '127.0.0.1', () => parentPort?.postMessage(server.address()))
