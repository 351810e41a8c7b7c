import { after } from 'node:test'
import { credentialsAreProved } from './access/credentials.ts'
import { keysHaveLimits, trustedProxy } from './access/key-limits.ts'
import { onePays } from './access/paying-teams.ts'
import { privateUpstreamsAreClosed } from './access/private-upstreams.ts'
import { requestsAreUnambiguous } from './access/raw-requests.ts'
import { roomsAreKept } from './access/rooms.ts'
import { secretsStayHome } from './access/secrets.ts'
import { GatewayStack } from './gateway-stack.ts'

// Who is let in, on an installation that trusts no private address.
const gateway = await GatewayStack.start(
  { after },
  {
    env: {
      SLUICE_ALLOW_PRIVATE_UPSTREAMS: '0',
      GATEWAY_TRUSTED_PROXIES: `${trustedProxy}/32`,
      GATEWAY_KEYS_USED_MS: '200',
    },
  },
)
const mine = await gateway.newProject()
const theirs = await gateway.newProject()

credentialsAreProved(gateway, { mine, theirs })
onePays(gateway)
keysHaveLimits(gateway)
roomsAreKept(gateway)
requestsAreUnambiguous(gateway, mine)
privateUpstreamsAreClosed(gateway)
secretsStayHome(gateway, theirs)
