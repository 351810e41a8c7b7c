import type { Bootstrap } from './bootstrap-line.ts'
import type { ProviderChoice } from './choose-providers.ts'

/** What is printed when everything is healthy: addresses, how to use them, who answers. */
export function writeReadyText(input: {
  url: string
  bootstrap: Bootstrap
  admin: { email: string; password: string }
  providers: ProviderChoice
  envFile: string
  envLines: string
  logs: string
  seconds: string
}): string {
  const { url, bootstrap, providers } = input
  const answers = (['openai', 'anthropic'] as const).map(dialect => {
    const real = providers[dialect]
    const who = real ? (real.baseUrl ?? 'the real provider') : 'the SIMULATOR (no model; costs are play money)'
    return `  ${dialect.padEnd(10)} ${who}`
  })
  const hint =
    providers.openai && providers.anthropic
      ? []
      : ['  For real answers: OPENAI_API_KEY=… ANTHROPIC_API_KEY=… npm start']
  return [
    '',
    `Sluice is ready at ${url} (${input.seconds} s)`,
    '',
    `  OpenAI     ${url}/openai/v1`,
    `  Anthropic  ${url}/anthropic`,
    `  admin      ${input.admin.email}, password in ${input.envFile}`,
    `  project    ${bootstrap.projectId}`,
    `  logs       ${input.logs}`,
    '',
    'Who answers:',
    ...answers,
    ...hint,
    ...providers.notes.map(note => `  ${note}`),
    '',
    `In another shell (also in ${input.envFile}):`,
    '',
    input.envLines.trimEnd(),
    '',
    'The first call:',
    '',
    `  curl ${url}/openai/v1/chat/completions \\`,
    `    -H "Authorization: Bearer ${bootstrap.apiKey}" -H 'Content-Type: application/json' \\`,
    `    -d '{"model":"gpt-5.4","messages":[{"role":"user","content":"Hello"}]}'`,
    '',
    'Every call shows a receipt here. Ctrl-C ends everything.',
    '',
  ].join('\n')
}
