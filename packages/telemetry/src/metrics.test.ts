import assert from 'node:assert/strict'
import test from 'node:test'
import { measureCall } from './call-metrics.ts'
import { counter, directCounter, directHistogram, gauge, histogram, metricsText } from './metrics.ts'

test('a counter asked for twice is one counter, and the operator port shows its sum', async () => {
  counter('test_events_total', 'Events', ['kind']).inc({ kind: 'a' })
  counter('test_events_total', 'Events', ['kind']).labels('a').inc(2)
  assert.match(await metricsText(), /^test_events_total\{kind="a"\} 3$/m)
})

test('what is counted on every call is shown by the labels that it was bound to', async () => {
  const answers = directCounter('test_answers_total', 'Answers', ['dialect', 'status'])
  answers.bind('openai', 'failed').inc()
  answers.bind('openai', 'completed').inc()
  directCounter('test_answers_total', 'Answers', ['dialect', 'status']).bind('openai', 'completed').inc()
  const text = await metricsText()
  assert.match(text, /^# TYPE test_answers_total counter$/m)
  assert.match(text, /^test_answers_total\{dialect="openai",status="failed"\} 1$/m)
  assert.match(text, /^test_answers_total\{dialect="openai",status="completed"\} 2$/m)
  assert.throws(() => directHistogram('test_answers_total', '', { labelNames: [], buckets: [] }), /another kind/)
})

test('a name cannot be a counter and a histogram', () => {
  counter('test_kind_total', 'One kind')
  assert.throws(() => histogram('test_kind_total', 'Another', { buckets: [1] }), /another kind/)
})

test('a gauge with a reader is read at each scrape', async () => {
  let open = 1
  gauge('test_open', 'Open', { read: () => open })
  assert.match(await metricsText(), /^test_open 1$/m)
  open = 5
  assert.match(await metricsText(), /^test_open 5$/m)
})

test('a measured call is counted under the GenAI names, errors by their code', async () => {
  measureCall({
    operation: 'chat',
    provider: 'openai',
    model: 'gpt-5',
    durationSeconds: 0.03,
    inputTokens: 20,
    outputTokens: 3,
  })
  measureCall({
    operation: 'chat',
    provider: 'openai',
    model: 'gpt-5',
    durationSeconds: 0.01,
    errorType: 'provider_timeout',
  })
  const text = await metricsText()
  const labels = 'gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-5"'
  assert.ok(text.includes(`gen_ai_client_token_usage_sum{${labels},gen_ai_token_type="input"} 20`))
  assert.ok(text.includes(`gen_ai_client_token_usage_count{${labels},gen_ai_token_type="output"} 1`))
  assert.ok(text.includes(`gen_ai_client_operation_duration_seconds_count{${labels},error_type="provider_timeout"} 1`))
  assert.match(text, /^process_cpu_seconds_total /m)
})

test('a bound histogram shows cumulative buckets, sum and count of each series', async () => {
  const sizes = directHistogram('test_sizes', 'Sizes', { labelNames: ['kind'], buckets: [1, 10] })
  const series = sizes.bind('a')
  for (const value of [1, 2, 10, 11]) series.observe(value)
  directHistogram('test_sizes', 'Sizes', { labelNames: ['kind'], buckets: [1, 10] })
    .bind('a')
    .observe(0.5)
  const text = await metricsText()
  assert.match(text, /^# TYPE test_sizes histogram$/m)
  for (const line of [
    'test_sizes_bucket{le="1",kind="a"} 2',
    'test_sizes_bucket{le="10",kind="a"} 4',
    'test_sizes_bucket{le="+Inf",kind="a"} 5',
    'test_sizes_sum{kind="a"} 24.5',
    'test_sizes_count{kind="a"} 5',
  ])
    assert.ok(text.includes(`\n${line}\n`), line)
  assert.throws(() => directHistogram('test_kind_total', 'Another', { labelNames: [], buckets: [1] }), /another kind/)
})
