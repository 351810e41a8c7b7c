import { credentialsAreProved } from './access/credentials.ts'
import { keysHaveLimits, trustedProxy } from './access/key-limits.ts'
import { onePays } from './access/paying-teams.ts'
import { privateUpstreamsAreClosed } from './access/private-upstreams.ts'
import { requestsAreUnambiguous } from './access/raw-requests.ts'
import { roomsAreKept } from './access/rooms.ts'
import { sharedGateway } from './shared-gateway.ts'

// Who is let in, by a gateway that trusts no private address.
const gateway = await sharedGateway({
  SLUICE_ALLOW_PRIVATE_UPSTREAMS: '0',
  GATEWAY_TRUSTED_PROXIES: `${trustedProxy}/32`,
  GATEWAY_KEYS_USED_MS: '200',
  // What its clients have left is read on for longer than anybody looks at it.
  GATEWAY_DRAIN_MS: '1000',
})
const mine = await gateway.newProject()
const theirs = await gateway.newProject()

credentialsAreProved(gateway, { mine, theirs })
onePays(gateway)
keysHaveLimits(gateway)
roomsAreKept(gateway)
requestsAreUnambiguous(gateway, mine)
privateUpstreamsAreClosed(gateway)
