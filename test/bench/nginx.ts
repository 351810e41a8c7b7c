import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '@sluice/stack'
import { jsonReply, slowEvents, streamEvents, streamReply } from './payloads.ts'
import { loadCore, startPinned, stopProcess, targetCore } from './processes.ts'
import { echoModule } from './requirements.ts'

/**
 * What the mock provider answers, a port each. `json`: 1 kB with usage. `burst`: 101 events at once. `paced`: the same 20 ms
 * apart. `slow`: 20 events 500 ms apart. `tls`: `json` over TLS. `socket`: Responses sockets, of a provider of their own.
 */
export const routes = ['json', 'burst', 'paced', 'slow', 'tls', 'socket'] as const
export type Route = (typeof routes)[number]
export type Ports = Record<Route, number>

export interface Nginx {
  pid: number
  ports: Ports
  stop: () => Promise<void>
}

/** A self-signed certificate for 127.0.0.1, in `folder`. */
export function makeCertificate(folder: string): { certificate: string; key: string } {
  const certificate = join(folder, 'certificate.pem')
  const key = join(folder, 'key.pem')
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost']
  const type = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '7']
  execFileSync('openssl', ['req', '-x509', ...type, ...subject, '-keyout', key, '-out', certificate], {
    stdio: 'ignore',
  })
  return { certificate, key }
}

/** The provider: on the core of the load. */
export function startMock(folder: string, tls: { certificate: string; key: string }): Promise<Nginx> {
  const stream = (count: number, gapSeconds: number) =>
    streamReply(count)
      .map(event => `echo '${event}\\n'; echo_flush;${gapSeconds > 0 ? ` echo_sleep ${gapSeconds};` : ''}`)
      .concat("echo 'data: [DONE]\\n';")
      .join('\n')
  const sse = (count: number, gapSeconds: number) =>
    `default_type text/event-stream; echo_read_request_body;\n${stream(count, gapSeconds)}`
  const json = `default_type application/json; return 200 '${jsonReply}';`
  const bodies: Record<Route, string> = {
    json,
    burst: sse(streamEvents, 0),
    paced: sse(streamEvents, 0.02),
    slow: sse(slowEvents, 0.5),
    tls: json,
    // Another program listens where sockets lead.
    socket: 'return 404;',
  }
  return start('mock', loadCore, folder, (route, port) => {
    const secure = route === 'tls' ? ` ssl; ssl_certificate ${tls.certificate}; ssl_certificate_key ${tls.key}` : ''
    return `server { listen 127.0.0.1:${port}${secure};\nlocation / { ${bodies[route]} } }`
  })
}

/** The reference: nginx as a reverse proxy, on the core of what is measured. Its TLS port speaks TLS on both sides. */
export function startProxy(folder: string, mock: Ports, tls: { certificate: string; key: string }): Promise<Nginx> {
  return start('nginx', targetCore, folder, (route, port) => {
    const secure = route === 'tls' ? ` ssl; ssl_certificate ${tls.certificate}; ssl_certificate_key ${tls.key}` : ''
    const scheme = route === 'tls' ? 'https' : 'http'
    const upgrade =
      route === 'socket'
        ? 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; proxy_read_timeout 600s;'
        : 'proxy_set_header Connection "";'
    return `upstream ${route} { server 127.0.0.1:${mock[route]}; keepalive 2048; keepalive_requests 100000000; }
server { listen 127.0.0.1:${port}${secure};
location / { proxy_pass ${scheme}://${route}; proxy_http_version 1.1; ${upgrade} proxy_buffering off; } }`
  })
}

async function start(
  name: string,
  core: number,
  folder: string,
  server: (route: Route, port: number) => string,
): Promise<Nginx> {
  const ports = {} as Ports
  for (const route of routes) ports[route] = await freePort()
  const config = `load_module ${echoModule};
daemon off; worker_processes 1; user root; pid ${join(folder, `${name}.pid`)}; error_log ${join(folder, `${name}-error.log`)} crit;
worker_rlimit_nofile 65536;
events { worker_connections 30000; }
http {
access_log off; tcp_nodelay on; keepalive_requests 100000000; keepalive_timeout 600s;
client_max_body_size 8m; client_body_buffer_size 1m; client_body_temp_path ${join(folder, `${name}-body`)};
proxy_temp_path ${join(folder, `${name}-proxy`)}; fastcgi_temp_path ${join(folder, `${name}-f`)};
uwsgi_temp_path ${join(folder, `${name}-u`)}; scgi_temp_path ${join(folder, `${name}-s`)};
${routes.map(route => server(route, ports[route])).join('\n')}
}
`.replace('user root; ', process.getuid?.() === 0 ? 'user root; ' : '')
  const file = join(folder, `${name}.conf`)
  writeFileSync(file, config)
  const child = startPinned(name, core, ['nginx', '-c', file, '-e', join(folder, `${name}-error.log`)], {
    logs: folder,
  })
  return { pid: child.pid ?? 0, ports, stop: () => stopProcess(child) }
}
