/** Priced in the catalogue, so that pricing is part of the work. */
export const model = 'gpt-4o-mini'

export const streamEvents = 101
export const slowEvents = 20

function chatRequest(promptBytes: number, extra = ''): string {
  const words = 'the quick brown fox jumps over the lazy dog and '
  const prompt = words.repeat(Math.ceil(promptBytes / words.length)).slice(0, promptBytes)
  return (
    `{"model":"${model}","messages":[{"role":"system","content":"You are a careful assistant."},` +
    `{"role":"user","content":"${prompt}"}],"temperature":0.2,"max_tokens":256${extra}}`
  )
}

/** Asking for the usage chunk lets every byte of a stream be compared with the provider's. */
const streamed = ',"stream":true,"stream_options":{"include_usage":true}'

export const requests = {
  small: chatRequest(825),
  small_stream: chatRequest(760, streamed),
  prompt_100kb: chatRequest(100_000),
  prompt_400kb: chatRequest(400_000),
} as const
export type RequestName = keyof typeof requests

const usage =
  '{"prompt_tokens":187,"completion_tokens":99,"total_tokens":286,' +
  '"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},' +
  '"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}'

export const jsonReply =
  '{"id":"chatcmpl-Bench0000000000000000000000001","object":"chat.completion","created":1760000000,"model":"gpt-4o-mini-2024-07-18",' +
  '"choices":[{"index":0,"message":{"role":"assistant","content":"' +
  'All work and no play makes a dull day. '.repeat(11).trimEnd() +
  `","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":${usage},"service_tier":"default","system_fingerprint":"fp_bench"}`

/** `count` events: the role, the text, the finish, the usage; each about 260 bytes. */
export function streamReply(count: number): string[] {
  const chunk = (choices: string, tail = '"usage":null') =>
    `data: {"id":"chatcmpl-Bench0000000000000000000000001","object":"chat.completion.chunk","created":1760000000,` +
    `"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_bench","choices":[${choices}],${tail}}`
  const delta = (content: string) =>
    chunk(`{"index":0,"delta":{"content":"${content}"},"logprobs":null,"finish_reason":null}`)
  return [
    chunk('{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}'),
    ...Array.from({ length: count - 3 }, (_, i) => delta(` word${i}`)),
    chunk('{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}'),
    chunk('', `"usage":${usage}`),
  ]
}
