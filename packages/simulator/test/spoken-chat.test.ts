import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeSound } from '../src/media/sound.ts'
import { chat, onlyRecord, post, startFor } from './simulator.ts'

/** Two and a half seconds. */
const heard = { data: makeSound('wav', 2_500).toString('base64'), format: 'wav' as const }
const asked = (orders: string, format: 'wav' | 'mp3' | 'pcm16') => ({
  ...chat(orders),
  model: 'gpt-audio',
  modalities: ['text' as const, 'audio' as const],
  audio: { voice: 'alloy', format },
  messages: [
    {
      role: 'user' as const,
      content: [
        { type: 'text' as const, text: `Answer. [[sim ${orders}]]` },
        { type: 'input_audio' as const, input_audio: heard },
      ],
    },
  ],
})
// $2.50, $10, $32 and $64 per million.
const cost = (text: number, said: number, sent: number, spoken: number) =>
  text * 2_500 + said * 10_000 + sent * 32_000 + spoken * 64_000

test('a spoken chat costs its words and its sound, on both sides, and reports what the bill charges', async t => {
  const { simulator, openai } = await startFor(t)
  for (const format of ['wav', 'mp3', 'pcm16'] as const) {
    simulator.bill.reset()
    const { choices, usage } = await openai.chat.completions.create(asked('input_tokens=40 output_tokens=12', format))
    const message = choices[0]?.message
    assert.equal(message?.content, null)
    assert.equal(Buffer.byteLength(message?.audio?.transcript ?? ''), 12 * 4)
    const sound = Buffer.from(message?.audio?.data ?? '', 'base64')
    const samples = 24 * 50 * 48
    const bytes = { wav: samples + 44, mp3: 24 * 50 * 8, pcm16: samples }
    assert.deepEqual(sound.length, bytes[format])
    assert.deepEqual([usage?.prompt_tokens, usage?.completion_tokens, usage?.total_tokens], [65, 36, 101])
    assert.equal(usage?.prompt_tokens_details?.audio_tokens, 25)
    assert.equal(usage?.completion_tokens_details?.audio_tokens, 24)
    const record = onlyRecord(simulator)
    assert.equal(record.cost_nano_usd, cost(40, 12, 25, 24))
    assert.deepEqual(record.lines.map(({ item }) => item).sort(), [
      'audio_input',
      'audio_output',
      'input_fresh',
      'output',
    ])
  }
})

test('a stream speaks in the same words and sound, and whoever is cut off pays for what was spoken', async t => {
  const { simulator, openai } = await startFor(t)
  const read = async (orders: string) => {
    let transcript = ''
    let soundBytes = 0
    let expires = 0
    const stream = await openai.chat.completions.create({
      ...asked(`input_tokens=40 output_tokens=12 tokens_per_chunk=4 ${orders}`, 'pcm16'),
      stream: true,
      stream_options: { include_usage: true },
    })
    let told: unknown
    for await (const chunk of stream) {
      const audio = (chunk.choices[0]?.delta as { audio?: { transcript?: string; data?: string; expires_at?: number } })
        ?.audio
      transcript += audio?.transcript ?? ''
      soundBytes += Buffer.from(audio?.data ?? '', 'base64').length
      expires ||= audio?.expires_at ?? 0
      told = chunk.usage ?? told
    }
    return { transcript, soundBytes, expires, told }
  }
  const whole = await read('')
  assert.deepEqual([Buffer.byteLength(whole.transcript), whole.soundBytes], [48, 24 * 2_400])
  assert.ok(whole.expires > Date.now() / 1_000)
  const plain = await openai.chat.completions.create(asked('input_tokens=40 output_tokens=12', 'pcm16'))
  assert.deepEqual(whole.told, plain.usage)
  simulator.bill.reset()
  // Four words, their sound, and four words more.
  const cut = await read('fault=truncate at=16')
  assert.deepEqual([Buffer.byteLength(cut.transcript), cut.soundBytes], [32, 8 * 2_400])
  const record = onlyRecord(simulator)
  assert.equal(record.generated_output_tokens, 16)
  assert.equal(record.cost_nano_usd, cost(40, 8, 25, 8))
})

test('the limit of a request holds for words and sound together', async t => {
  const { simulator, openai } = await startFor(t)
  const { choices, usage } = await openai.chat.completions.create({
    ...asked('output_tokens=50', 'wav'),
    max_completion_tokens: 20,
  })
  assert.equal(choices[0]?.finish_reason, 'length')
  assert.equal(usage?.completion_tokens, 18)
  assert.equal(onlyRecord(simulator).billed.audio_output, 12)
})

test('a model that has no ears or no voice, a format that is not spoken and sound that is none are refused', async t => {
  const { simulator } = await startFor(t)
  const spoken = asked('output_tokens=5', 'wav')
  const noise = { role: 'user', content: [{ type: 'input_audio', input_audio: { data: 'AAAA', format: 'wav' } }] }
  for (const [body, why] of [
    [{ ...spoken, model: 'gpt-5.4-mini' }, /does not speak/],
    [{ ...spoken, model: 'gpt-5.4-mini', modalities: undefined }, /does not hear/],
    [{ ...spoken, audio: { voice: 'alloy', format: 'flac' } }, /wav, mp3 or pcm16/],
    [{ ...spoken, audio: undefined }, /wav, mp3 or pcm16/],
    [{ ...spoken, stream: true }, /pcm16 only/],
    [{ ...spoken, messages: [noise] }, /neither WAV nor MP3/],
  ] as const) {
    const answer = await post(simulator, '/v1/chat/completions', body)
    assert.equal(answer.status, 400)
    assert.match(await answer.text(), why)
  }
  assert.equal(simulator.bill.totals().cost_nano_usd, '0')
})
