import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { test } from 'node:test'
import { eventually } from '@sluice/test-env'
import pg from 'pg'
import { EventFeed } from './event-feed.ts'
import { newProject } from './new-project.ts'
import { storyStack } from './story-stack.ts'

// Its ES module build lacks its own type marker, so Node reads only the CommonJS one.
const { ApiScope, LLMGrant, ParticipantToken } = createRequire(import.meta.url)(
  '@meshagent/meshagent',
) as typeof import('@meshagent/meshagent')

const { stack, admin } = await storyStack()

/** One POST through the gateway. */
function post(path: string, credential: string, body: object | string): Promise<Response> {
  return fetch(`${stack.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${credential}` },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
}

async function tokenOf(apiKey: string): Promise<string> {
  const token = new ParticipantToken({ name: 'bot' })
  token.addRoleGrant('agent')
  token.addApiGrant(new ApiScope({ llm: new LLMGrant({}) }))
  return await token.toJwt({ apiKey })
}

test('no key, token, provider credential, prompt or completion is in a log, a file, a message or a table', async t => {
  const prompt = 'canary-of-a-prompt-7f3a'
  const said = 'canary-of-an-answer-7f3b'
  const providerKey = 'sk-canary-of-a-provider-7f3c'
  const wrongKey = 'ma-canary-of-a-wrong-key-7f3d'
  const { projectId, apiKey } = await newProject(stack, admin, {})
  const project = `/accounts/projects/${projectId}`
  const { body: listed } = await admin.call<{ keys: { id: string }[] }>('GET', `${project}/api-keys`)
  const feed = new EventFeed(stack)
  t.after(() => feed.close())
  const messages: string[] = []
  const everything = stack.natsAdmin.subscribe('>', {
    callback: (_error, message) => {
      messages.push(message.string())
    },
  })
  const own = await admin.call('PUT', `${project}/settings/anthropic`, { api_key: providerKey })
  assert.equal(own.status, 200)
  const jwt = await tokenOf(apiKey)

  const text = `${prompt} [[sim text="${said}"]]`
  const chat = { model: 'gpt-5.4-mini', messages: [{ role: 'user', content: text }] }
  const answers = await Promise.all([
    post('/v1/chat/completions', apiKey, chat),
    post('/v1/chat/completions', jwt, { ...chat, stream: true }),
    post('/v1/responses', jwt, { model: 'gpt-5.4-mini', input: text, stream: true }),
    post('/v1/embeddings', apiKey, { model: 'text-embedding-3-small', input: prompt }),
    post('/v1/chat/completions', apiKey, {
      ...chat,
      messages: [{ role: 'user', content: `${text} [[sim fault=drop at_byte=900]]` }],
      stream: true,
    }),
    post('/v1/chat/completions', apiKey, {
      ...chat,
      messages: [{ role: 'user', content: `${text} [[sim status=500]]` }],
    }),
    // Refused in every way: what was sent is in no reason.
    post('/v1/chat/completions', apiKey, `{"model":"gpt-5.4-mini","messages":"${prompt}`),
    post('/v1/chat/completions', apiKey, { ...chat, model: prompt }),
    post(`/v1/${prompt}`, apiKey, chat),
    post('/v1/chat/completions', wrongKey, chat),
    post('/v1/chat/completions', `${jwt}x`, chat),
    fetch(`${stack.url}/v1/models?key=${apiKey}`),
  ])
  const texts = await Promise.all(answers.map(answer => answer.text()))
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 200, 200, 200, 500, 400, 400, 400, 401, 401, 401],
  )
  assert.ok(texts[0]?.includes(said), 'the answer itself has it')
  await eventually(() => feed.all.filter(({ identity }) => identity.project_id === projectId).length >= 6)
  // A refusal names the model asked for: a word of the caller's, not a text; it is looked for as such elsewhere.
  const secrets = { said, providerKey, wrongKey, secret: apiKey.slice(-22), jwt: jwt.slice(-40) }
  const canaries: Record<string, string> = { ...secrets, prompt: `${prompt} ` }
  const found: string[] = []
  const look = (where: string, content: string | Buffer) => {
    for (const [name, canary] of Object.entries(canaries)) {
      if (content.includes(canary)) found.push(`${name} in ${where}`)
      if (content.includes(Buffer.from(canary).toString('hex'))) found.push(`${name}, in hexadecimal, in ${where}`)
      if (
        content.includes(
          Buffer.from(canary)
            .toString('base64')
            .replace(/.{2}=*$/, ''),
        )
      )
        found.push(`${name}, in base64, in ${where}`)
    }
  }
  // Once the rows of the calls are there, so is everything that was to be written.
  await eventually(
    async () => {
      const { body } = await admin.call<{ events: object[] }>('GET', `${project}/usage/events?page_size=100`)
      look('usage rows', JSON.stringify(body))
      return body.events.length >= 6
    },
    { intervalMs: 100 },
  )
  everything.unsubscribe()
  // What may be seen is seen there: the search does look at what was written.
  const seen = { messages: false, tables: false, files: false }
  const mayBeSeen = listed.keys[0]?.id ?? assert.fail('the project has a key')
  const all = messages.join('\n')
  seen.messages = all.includes(mayBeSeen)
  look('messages', all)
  for (const [service, url] of Object.entries(stack.databaseUrls)) {
    const rows = await dump(url)
    seen.tables ||= rows.includes(mayBeSeen)
    look(`tables of ${service}`, rows)
  }
  for (const file of filesBelow(stack.home)) {
    const content = orGone(() => readFileSync(file), Buffer.alloc(0))
    seen.files ||= content.includes(mayBeSeen)
    look(file, content)
  }
  assert.deepEqual(seen, { messages: true, tables: true, files: true })
  assert.deepEqual(found, [])
})

/** Every row of every table that a service may read, as text. */
async function dump(url: string): Promise<string> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const { rows: tables } = await client.query(
      `select quote_ident(schemaname) || '.' || quote_ident(tablename) as name from pg_tables
       where schemaname not in ('pg_catalog', 'information_schema') and has_schema_privilege(schemaname, 'usage') and has_table_privilege(quote_ident(schemaname) || '.' || quote_ident(tablename), 'select')`,
    )
    const texts: string[] = []
    for (const { name } of tables as { name: string }[]) {
      const { rows } = await client.query(`select t::text as row from ${name} t`)
      for (const { row } of rows as { row: string }[]) texts.push(row)
    }
    assert.ok(texts.length > 0)
    return texts.join('\n')
  } finally {
    await client.end()
  }
}

function* filesBelow(folder: string): Generator<string> {
  for (const entry of orGone(() => readdirSync(folder, { withFileTypes: true }), [])) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) yield* filesBelow(path)
    else if (entry.isFile()) yield path
  }
}

/** What is read, unless it has gone meanwhile, as files of a store that is running do. */
function orGone<T>(read: () => T, gone: T): T {
  try {
    return read()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return gone
    throw error
  }
}
