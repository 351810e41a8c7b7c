import assert from 'node:assert/strict'
import { test } from 'node:test'
import { recogniseClient } from './client-app.ts'

test('programs, frameworks and SDKs are told apart by what they send', () => {
  for (const [userAgent, app, refusalClass = 'unknown', marks = {}] of [
    ['claude-cli/2.1.332 (external, cli)', 'claude-code', 'claude-code', { stainless: true }],
    ['codex_cli_rs/0.169.0 (Debian 13.0.0; x86_64) xterm', 'codex', 'codex'],
    ['codex_exec/0.169.0', 'codex', 'codex', { originator: 'codex_exec' }],
    ['my-wrapper/1.0', 'codex', 'codex', { originator: 'codex_vscode' }],
    ['opencode/1.2.3 ai-sdk/provider-utils/3.0', 'opencode'],
    ['OpenAI/JS 4.83.0', 'cline', 'unknown', { title: 'Cline', stainless: true }],
    ['RooCode/3.20.0', 'roo-code', 'unknown', { title: 'Roo Code', stainless: true }],
    ['Kilo-Code/4.1.0', 'kilo-code', 'unknown', { stainless: true }],
    ['GitHubCopilotChat/0.30.1', 'github-copilot'],
    ['langchainjs-openai/1.0.0 (OpenAI/JS 6.1.0)', 'langchain', 'unknown', { stainless: true }],
    ['ai/5.0.2 ai-sdk/openai/2.0.1 runtime/node.js/24', 'vercel-ai-sdk'],
    ['Agents/Python 0.3.2', 'openai-agents-sdk', 'official-sdk', { stainless: true }],
    ['OpenAI/JS 7.57.0', 'openai-sdk-js', 'official-sdk', { stainless: true }],
    ['AsyncOpenAI/Python 2.1.0', 'openai-sdk-python', 'official-sdk', { stainless: true }],
    ['AsyncAzureOpenAI/Python 2.1.0', 'openai-sdk-python', 'official-sdk', { stainless: true }],
    ['OpenAI/Go 3.2.0', 'openai-sdk-go', 'official-sdk', { stainless: true }],
    ['Anthropic/JS 0.120.0', 'anthropic-sdk-js', 'official-sdk', { stainless: true }],
    ['OpenAI/JS 7.57.0', 'openai-sdk-js', 'unknown'],
    ['curl/8.14.1', 'curl'],
    ['Mozilla/5.0 (X11; Linux x86_64)', 'browser'],
    ['Acme-Bot/1.0 (internal)', 'acme-bot'],
    ['', 'unknown'],
    ['(nothing)', 'unknown'],
  ] as const)
    assert.deepEqual(recogniseClient({ userAgent, ...marks }), { app, refusalClass }, userAgent)
})

test('names without end do not fill the memory', () => {
  const { app } = recogniseClient({ userAgent: 'x'.repeat(10_000) })
  assert.equal(app.length, 64)
})
