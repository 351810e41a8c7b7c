/**
 * A client of many sockets, as a process of its own: `node socket-client.ts <json>`. Opens them all, says so in a line, runs a
 * turn on the first `active` of them for each line it reads, and says in a line what came.
 */
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'
import type { Endpoint } from './load-closed.ts'
import { socketEvents, socketGapMs } from './socket-provider.ts'

export interface SocketJob extends Endpoint {
  body: string
  sockets: number
  active: number
}

/** A line of the client. */
export interface SocketResult {
  open: number
  failed: number
  /** Of the turns just run. */
  events: number
  lost: number
}

/** Few enough at a time that no backlog of a listener overflows. */
const opensAtOnce = 50

function openSocket(job: SocketJob): Promise<WebSocket | undefined> {
  return new Promise(resolve => {
    const socket = new WebSocket(job.url, { headers: job.headers, perMessageDeflate: false })
    socket.on('open', () => resolve(socket))
    socket.on('error', () => resolve(undefined))
  })
}

async function openAll(job: SocketJob): Promise<WebSocket[]> {
  const open: WebSocket[] = []
  let left = job.sockets
  const opener = async () => {
    while (left-- > 0) {
      const socket = await openSocket(job)
      if (socket) open.push(socket)
    }
  }
  await Promise.all(Array.from({ length: opensAtOnce }, opener))
  return open
}

/** One turn on each socket, begun evenly over the time between two events. */
async function runTurns(sockets: readonly WebSocket[], body: string): Promise<number> {
  let events = 0
  const turns = sockets.map(async (socket, i) => {
    await delay((socketGapMs * i) / sockets.length)
    let seen = 0
    await Promise.race([
      delay(socketEvents * socketGapMs + 10_000),
      new Promise<void>(resolve => {
        socket.on('close', () => resolve())
        socket.on('message', () => {
          seen++
          if (seen === socketEvents) resolve()
        })
        socket.send(body)
      }),
    ])
    events += seen
    socket.removeAllListeners('message')
    socket.removeAllListeners('close')
  })
  await Promise.all(turns)
  return events
}

async function main(job: SocketJob): Promise<void> {
  const sockets = await openAll(job)
  const say = (turns: Pick<SocketResult, 'events' | 'lost'>): void => {
    const open = sockets.filter(socket => socket.readyState === WebSocket.OPEN).length
    const result: SocketResult = { open, failed: job.sockets - open, ...turns }
    process.stdout.write(`${JSON.stringify(result)}\n`)
  }
  say({ events: 0, lost: 0 })
  for await (const _ of createInterface({ input: process.stdin })) {
    const events = await runTurns(sockets.slice(0, job.active), job.body)
    say({ events, lost: job.active * socketEvents - events })
  }
  for (const socket of sockets) socket.terminate()
}

const [, script, argument] = process.argv
if (script === import.meta.filename && argument !== undefined) await main(JSON.parse(argument) as SocketJob)
