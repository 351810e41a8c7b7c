import { after } from 'node:test'
import { GatewayStack } from './gateway-stack.ts'
import { socketsOutliveTheirDisk } from './sockets/broken-disk.ts'
import { clientSecretsAreOurs } from './sockets/client-secrets.ts'
import { realtimeIsMetered } from './sockets/realtime.ts'
import { callsAreMeteredBeside } from './sockets/realtime-calls.ts'
import { socketsAreRefused } from './sockets/refusals.ts'
import { responsesSocketsAreMetered } from './sockets/responses.ts'
import { socketsEnd } from './sockets/stops.ts'

// Both sockets on one installation; the gateway itself is killed and stopped last, and started on a disk that breaks.
const gateway = await GatewayStack.start({ after }, { services: ['accounts', 'billing', 'budget', 'gateway'] })

responsesSocketsAreMetered(gateway)
realtimeIsMetered(gateway)
callsAreMeteredBeside(gateway)
clientSecretsAreOurs(gateway)
socketsAreRefused(gateway)
socketsEnd(gateway)
socketsOutliveTheirDisk(gateway)
