import { sharedGateway } from './shared-gateway.ts'
import { socketsOutliveTheirDisk } from './sockets/broken-disk.ts'
import { clientSecretsAreOurs } from './sockets/client-secrets.ts'
import { balancesEnd } from './sockets/prepaid.ts'
import { realtimeIsMetered } from './sockets/realtime.ts'
import { callsAreMeteredBeside } from './sockets/realtime-calls.ts'
import { socketsAreRefused } from './sockets/refusals.ts'
import { responsesSocketsAreMetered } from './sockets/responses.ts'
import { socketsEnd } from './sockets/stops.ts'

// Both sockets on one installation; the gateway itself is killed and stopped last, and started on a disk that breaks.
const gateway = await sharedGateway()

responsesSocketsAreMetered(gateway)
realtimeIsMetered(gateway)
callsAreMeteredBeside(gateway)
clientSecretsAreOurs(gateway)
socketsAreRefused(gateway)
balancesEnd(gateway)
socketsEnd(gateway)
socketsOutliveTheirDisk(gateway)
