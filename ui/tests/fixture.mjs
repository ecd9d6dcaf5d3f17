// What would the loop and the flags say? A server for tests that stands before the real program and answers for these two alone,
// in the shapes of the API, so that the screens can be tested without an incident.
import { createServer, request as forward } from 'node:http'

const iso = (ms) => new Date(ms).toISOString()
const red = (requests, error_rate, p50_ms, p95_ms) => ({ requests, requests_per_s: requests / 600, error_rate, p50_ms, p95_ms, p99_ms: p95_ms * 1.3 })
const finding = (statement, effect, support, query = 'SELECT count(*) AS n FROM spans') => ({ statement, effect, support, q_value: 0.0001, query })
const how = (start, end) => ({ queries: [{ sql: 'SELECT count(*) AS n FROM spans', params: [], rows_scanned: 109176, bytes_scanned: 70000, elapsed_ms: 84.2, partial: false }], exact: true, notes: [], start, end })
const quantiles = (p5, p50, p95) => ({ p5, p50, p95 })

/** The answers about an incident that began at `onset` (Unix ms); `state` holds the flag and when it was set back. */
function answers(onset, state) {
  const CHANGE = { time: iso(onset - 180_000), kind: 'flag', entity: 'fraud-fallback', before: 'on', after: 'off', actor: 'dana', source: 'flags', attributes: {} }
  return {
    triage({ start, end, service }) {
      const [from, to] = [Date.parse(start), Date.parse(end)]
      const step = 30_000
      const series = Array.from({ length: Math.floor((to - from) / step) }, (_, index) => {
        const at = from + index * step
        const bad = at >= onset && (!state.mitigated || at < state.mitigated)
        const wave = Math.sin(index * 1.7)
        return { time: iso(at), requests: Math.round(36 + wave * 5), errors: bad ? 1 + Math.round(wave + 1) : 0, p50_ms: (bad ? 1900 : 120) + wave * 10, p95_ms: (bad ? 4100 : 240) + wave * 40 }
      })
      const part = (value, requests, share, ratio) => ({ value, requests, affected: Math.round(requests * share), share, before: red(requests * 6, 0.002, 120, 240), after: red(requests, 0.03, 1900, 4100), ratio })
      return {
        symptom: { signal: 'latency', service: service ?? 'checkout', operation: null, filter: null, statement: `${service ?? 'checkout'} takes 4.10 s at p95, before 240 ms` },
        onset: { time: iso(onset), earliest: iso(onset - 25_000), latest: iso(onset + 15_000), confidence: 0.95 }, ongoing: true, baseline: { start, end: iso(onset - 25_000) },
        before: red(4378, 0.002, 120, 240), after: red(585, 0.031, 1900, 4100), series,
        radius: [
          { dimension: 'service', values: [part('checkout', 585, 0.81, 16), part('payment', 585, 0.8, 17), part('web', 1869, 0.25, 5), part('cart', 462, 0, 1)] },
          { dimension: 'attr:cloud.region', values: [part('eu-west-1', 150, 0.82, 16), part('us-east-1', 147, 0.8, 17), part('us-west-2', 141, 0.8, 17), part('ap-south-1', 147, 0.79, 15)] },
          { dimension: 'attr:app.version', values: [part('2.3.0', 410, 0.8, 16), part('2.4.0', 175, 0.81, 16)] },
        ],
        changes: [{ ...CHANGE, offset_s: -180, near: true }, { ...CHANGE, time: iso(onset - 2_400_000), kind: 'version', entity: 'cart', before: '1.4.1', after: '1.4.2', actor: null, source: 'telemetry', offset_s: -2400, near: false }],
        findings: [finding('requests are as frequent as before (0.97 a second, before 1.01)', 0.04, 4963)], how: how(start, end),
      }
    },
    where({ start, end }) {
      const step = (service, operation, before, after, share, extra = {}) => ({ service, operation, kind: 'server', dependency: false, self_ms: { before, after }, critical_ms: { before, after }, delta_ms: after - before, share_of_delta: share, calls_per_trace: { before: 1, after: 1 }, error_origin: { before: 0, after: 0 }, error_passed_on: { before: 0, after: 0 }, patterns: [], statement: `${service} ${operation}: ${before} ms, now ${after} ms`, trace_ids: state.traces ?? [], ...extra })
      return {
        normal_traces: 400, slow_traces: 400,
        steps: [
          step('payment', 'POST fraud-score', 81, 3240, 0.93, { dependency: true, target: 'fraud.example', calls_per_trace: { before: 1, after: 1.82 }, error_origin: { before: 0.002, after: 0.62 }, patterns: ['retry', 'timeout'] }),
          step('checkout', 'POST /orders', 44, 170, 0.04, { error_passed_on: { before: 0, after: 0.03 } }),
          step('checkout', 'INSERT orders', 9, 61, 0.02, { patterns: ['pool_wait'] }),
        ],
        findings: [finding('93% of the rise lies in payment POST fraud-score, a call to fraud.example', 0.93, 400)], how: how(start, end),
      }
    },
    suspects({ start, end }) {
      return {
        verdict: 'cause', statement: 'The flag fraud-fallback was set from on to off 3 m before the onset, while fraud.example answers in 3.7 s instead of 80 ms',
        suspects: [
          { rank: 1, kind: 'change', entity: 'fraud-fallback', title: 'flag fraud-fallback: on → off', score: 0.91, change: CHANGE,
            for: [finding('100% of affected requests saw the variant off, 0% of the others', 1, 585), finding('it came 180 s before the onset', 180, 1), finding('payment, which reads it, holds 93% of the rise', 0.93, 400)],
            against: [finding('requests with the variant off were normal for the first 150 s', 0.1, 61)],
            refute: { statement: 'requests with the variant off are as fast as those with on', query: "SELECT attr('feature_flag.result.variant') AS variant, approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ns) AS p95 FROM spans WHERE service_name = 'payment' GROUP BY 1" },
            mitigation: { kind: 'flag', flag: 'fraud-fallback', variant: 'on' } },
          { rank: 2, kind: 'dependency', entity: 'fraud.example', title: 'dependency fraud.example answers slowly', score: 0.74, for: [finding('calls to it take 1.5 s at the median, before 80 ms', 18, 900)], against: [], refute: { statement: 'its own metrics show no slower answers', query: 'SELECT 1' }, mitigation: { kind: 'text', statement: 'Stop calling fraud.example, or answer without it.' } },
          { rank: 3, kind: 'change', entity: 'cart', title: 'version of cart 1.4.1 → 1.4.2', score: 0.08, for: [finding('it came before the onset', 2400, 1)], against: [finding('cart is on no affected path', 0, 585)], refute: { statement: 'cart appears in affected traces', query: 'SELECT 1' } },
        ], how: how(start, end),
      }
    },
    compare({ selection, baseline }) {
      const one = (attributes, s, b, extra = {}) => ({ attributes, synonyms: [], selection_count: Math.round(s * 585), baseline_count: Math.round(b * 4378), selection_share: s, baseline_share: b, effect: s - b, g: 900, q_value: 1e-9, statement: `${attributes[0].key} = ${attributes[0].value}: ${Math.round(s * 100)}% of the selection, ${Math.round(b * 100)}% of the baseline`, query: 'SELECT count(*) AS n FROM spans', ...extra })
      const attribute = (key, value) => ({ key, value, expression: `attr('${key}')` })
      return {
        selection: { count: 585 }, baseline: { count: 4378 }, keys_compared: 14,
        findings: [
          one([attribute('feature_flag.result.variant', 'off')], 1, 0.02, { synonyms: [attribute('deployment.ring', 'b')] }),
          one([attribute('http.response.status_code', '502'), attribute('http.route', '/checkout')], 0.31, 0.001),
          one([attribute('app.version', '2.4.0')], 0.36, 0.29),
          one([attribute('cloud.region', 'eu-west-1')], 0.2, 0.26),
        ],
        numbers: [{ key: 'duration_ms', expression: 'duration_ns', selection: quantiles(900, 1900, 4100), baseline: quantiles(70, 120, 240), effect: 0.97, q_value: 1e-12 }, { key: 'http.request.resend_count', selection: quantiles(0, 1, 2), baseline: quantiles(0, 0, 0), effect: 0.6, q_value: 1e-9 }],
        how: how(selection.start, baseline.end),
      }
    },
    validate({ symptom, mitigated_at }) {
      state.polls = (state.polls ?? 0) + 1
      const verdict = state.polls < 2 ? 'too_early' : 'fixed'
      return { verdict, statement: verdict === 'fixed' ? 'fixed: as before it began (214 requests since the mitigation)' : 'too early to tell (9 requests since the mitigation)', before: red(4378, 0.002, 120, 240), during: red(585, 0.031, 1900, 4100), after: red(verdict === 'fixed' ? 214 : 9, 0.002, 122, 251), findings: [finding('affected requests since the mitigation: −79 points, between −83 and −75 with 95%', -0.79, 214)], how: how(symptom.start, mitigated_at) }
    },
  }
}

function flagAnswers(onset, state) {
  const edit = (version, time, actor, reason, before, after) => ({ time: iso(time), version, way: 'api', actor, reason, before, after })
  const definition = (defaultVariant) => ({ state: 'ENABLED', variants: { on: true, off: false }, defaultVariant })
  state.edits = [edit(1, onset - 86_400_000, 'dana', 'first definition', null, definition('on')), edit(2, onset - 180_000, 'dana', 'cost', definition('on'), definition('off'))]
  state.flag = { key: 'fraud-fallback', description: 'Accept small orders when the fraud score is slow', ...definition('off'), version: 2, changed_at: iso(onset - 180_000), changed_by: 'dana' }
  return (method, path, body) => {
    if (path === '/api/v1/flags') return { flags: [state.flag, { ...state.flag, key: 'new-basket', description: '', state: 'DISABLED', variants: { old: 'v1', new: 'v2', mixed: 'v3' }, defaultVariant: 'old', targeting: { if: [{ '==': [{ var: 'tier' }, 'gold'] }, 'new'] }, version: 1 }] }
    if (path.endsWith('/audit')) return { key: state.flag.key, edits: state.edits }
    if (method !== 'PATCH') return null
    const { actor, reason, ...changed } = body
    const before = state.edits.at(-1).after
    state.mitigated = Date.now()
    Object.assign(state.flag, changed, { version: state.flag.version + 1, changed_at: iso(state.mitigated), changed_by: actor })
    state.edits.push(edit(state.flag.version, state.mitigated, actor, reason, before, { ...before, ...changed }))
    return state.flag
  }
}

/** Starts it before the program at `target`; answers with its URL, its state and how to stop it. */
export async function startFixture(target, onset) {
  const state = {}
  const loop = answers(onset, state)
  const flag = flagAnswers(onset, state)
  const server = createServer((request, response) => {
    const path = new URL(request.url, target).pathname
    const method = /^\/api\/v1\/diagnose\/(\w+)$/.exec(path)?.[1]
    if (!method && !path.startsWith('/api/v1/flags')) {
      const onward = forward(target + request.url, { method: request.method, headers: request.headers }, (answer) => {
        response.writeHead(answer.statusCode, answer.headers)
        answer.pipe(response)
      })
      onward.on('error', () => response.destroy())
      // What is followed ends when nobody listens any more.
      response.on('close', () => onward.destroy())
      request.pipe(onward)
      return
    }
    const chunks = []
    request.on('data', (chunk) => chunks.push(chunk))
    request.on('end', () => {
      const body = chunks.length ? JSON.parse(Buffer.concat(chunks)) : null
      const answer = method ? loop[method](body) : flag(request.method, path, body)
      response.writeHead(answer ? 200 : 404, { 'content-type': 'application/json' })
      response.end(JSON.stringify(answer ?? { error: { kind: 'not_found', message: 'no such flag' } }))
    })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${server.address().port}`, state, stop: () => new Promise((resolve) => { server.closeAllConnections(); server.close(resolve) }) }
}
