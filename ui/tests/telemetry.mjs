// What does a store need to hold before screens can be looked at? A small shop's hour, sent over OTLP/JSON from a seed;
// its last minutes are slow, one trace is very large and one speaks in markup.

/** Mulberry32: small, seeded, good enough to make data look alive. */
export function random(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

export const HOSTILE = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>{{7*7}}\u202e\u0000'

const attributes = (object) =>
  Object.entries(object).map(([key, value]) => ({
    key,
    value:
      typeof value === 'boolean' ? { boolValue: value }
      : Number.isInteger(value) ? { intValue: String(value) }
      : typeof value === 'number' ? { doubleValue: value }
      : { stringValue: value },
  }))

const hex = (next, bytes) => Array.from({ length: bytes }, () => Math.floor(next() * 256).toString(16).padStart(2, '0')).join('')

/** Collects spans and logs by service and sends them in requests of a bounded size. */
class Sender {
  constructor(url, { resource = {}, scope = { name: 'shop', version: '1' } } = {}) {
    Object.assign(this, { url, resource, scope })
    this.clear()
  }
  clear() {
    this.spans = new Map()
    this.logs = new Map()
    this.size = 0
  }
  add(table, service, record) {
    if (!table.has(service)) table.set(service, [])
    table.get(service).push(record)
    this.size += 1
  }
  async flush() {
    const resource = (service) => ({
      attributes: attributes({ 'service.name': service, 'service.version': '1.4.2', 'deployment.environment.name': 'demo', 'host.name': `${service}-0`, ...this.resource }),
    })
    const { url, scope } = this
    if (this.spans.size) {
      await call(url, 'POST', '/v1/traces', { resourceSpans: [...this.spans].map(([service, spans]) => ({ resource: resource(service), scopeSpans: [{ scope, spans }] })) })
    }
    if (this.logs.size) {
      await call(url, 'POST', '/v1/logs', { resourceLogs: [...this.logs].map(([service, logRecords]) => ({ resource: resource(service), scopeLogs: [{ scope, logRecords }] })) })
    }
    this.clear()
  }
}

const nanos = (ms) => String(Math.round(ms * 1000)) + '000'

function span(sender, next, { service, name, kind, trace, parent, start, ms, error, extra, events, more }) {
  const id = hex(next, 8)
  sender.add(sender.spans, service, {
    traceId: trace, spanId: id, ...(parent ? { parentSpanId: parent } : {}), name, kind,
    startTimeUnixNano: nanos(start), endTimeUnixNano: nanos(start + ms),
    attributes: attributes(extra ?? {}), events: events ?? [],
    status: error ? { code: 2, message: error } : {}, ...more,
  })
  return id
}

function log(sender, { service, time, severity, text, body, trace, spanId, extra, event }) {
  sender.add(sender.logs, service, {
    timeUnixNano: nanos(time), severityNumber: severity, severityText: text, body: { stringValue: body },
    ...(trace ? { traceId: trace, spanId } : {}), ...(event && { eventName: event }), attributes: attributes(extra ?? {}),
  })
}

const REGIONS = ['eu-west-1', 'us-east-1', 'us-west-2', 'ap-south-1']

/** One request through the shop. `slow` is how much of the incident it feels. */
function request(sender, next, at, slow) {
  const trace = hex(next, 16)
  const region = REGIONS[Math.floor(next() * REGIONS.length)]
  const skew = (ms) => ms * (0.6 + next() * next() * 1.8)
  const version = next() < 0.7 ? '2.3.0' : '2.4.0'
  const common = { 'cloud.region': region, 'app.version': version, 'tenant.id': `tenant-${Math.floor(next() * 12)}` }
  const kind = next()
  const who = { ...common, 'user.id': `u-${Math.floor(next() * 5000)}` }
  if (kind < 0.45) {
    const ms = skew(28)
    const root = span(sender, next, { service: 'web', name: 'GET /products', kind: 2, trace, start: at, ms, extra: { ...who, 'http.route': '/products', 'http.request.method': 'GET', 'http.response.status_code': 200 } })
    const call = span(sender, next, { service: 'web', name: 'GET inventory', kind: 3, trace, parent: root, start: at + 2, ms: ms * 0.8, extra: { 'server.address': 'inventory' } })
    const served = span(sender, next, { service: 'inventory', name: 'GET /stock', kind: 2, trace, parent: call, start: at + 3, ms: ms * 0.7, extra: { ...common, 'http.route': '/stock' } })
    span(sender, next, { service: 'inventory', name: 'SELECT stock', kind: 3, trace, parent: served, start: at + 5, ms: ms * 0.4, extra: { 'db.system.name': 'postgresql', 'db.query.text': 'SELECT * FROM stock WHERE sku = ANY($1)' } })
    log(sender, { service: 'inventory', time: at + 6, severity: 5, text: 'DEBUG', body: `stock read for ${Math.floor(next() * 40)} items`, trace, spanId: served, extra: { event: 'stock.read' } })
    return
  }
  if (kind < 0.7) {
    const ms = skew(18)
    const root = span(sender, next, { service: 'web', name: 'POST /cart', kind: 2, trace, start: at, ms, extra: { ...who, 'http.route': '/cart', 'http.request.method': 'POST', 'http.response.status_code': 200 } })
    const served = span(sender, next, { service: 'cart', name: 'POST /items', kind: 2, trace, parent: root, start: at + 2, ms: ms * 0.7, extra: { ...common, 'http.route': '/items' } })
    span(sender, next, { service: 'cart', name: 'SET cart', kind: 3, trace, parent: served, start: at + 3, ms: ms * 0.3, extra: { 'db.system.name': 'redis' } })
    log(sender, { service: 'cart', time: at + 4, severity: 9, text: 'INFO', body: 'item added to cart', trace, spanId: served, extra: { event: 'cart.added', quantity: 1 + Math.floor(next() * 4) } })
    return
  }
  checkout(sender, next, { at, slow, trace, who, common, skew })
}

function checkout(sender, next, { at, slow, trace, who, common, skew }) {
  const attempts = slow > 0 && next() < slow ? 1 + Math.floor(next() * 3) : 1
  const times = Array.from({ length: attempts }, (_, n) => (attempts > 1 && n < attempts - 1 ? 1200 : skew(slow > 0 && next() < slow ? 1500 : 80)))
  const inner = times.reduce((sum, ms) => sum + ms + 20, 0)
  const failed = slow > 0 ? next() < 0.09 * slow : next() < 0.002
  const code = failed ? 502 : 200
  const total = inner + skew(60)
  const root = span(sender, next, { service: 'web', name: 'POST /checkout', kind: 2, trace, start: at, ms: total + 8, error: failed ? 'upstream failed' : '', extra: { ...who, 'http.route': '/checkout', 'http.request.method': 'POST', 'http.response.status_code': code } })
  const served = span(sender, next, { service: 'checkout', name: 'POST /orders', kind: 2, trace, parent: root, start: at + 3, ms: total, error: failed ? 'payment failed' : '', extra: { ...common, 'http.route': '/orders' } })
  span(sender, next, { service: 'checkout', name: 'INSERT orders', kind: 3, trace, parent: served, start: at + 5, ms: skew(9), extra: { 'db.system.name': 'postgresql', 'db.query.text': 'INSERT INTO orders (id, total) VALUES ($1, $2)' } })
  const pay = span(sender, next, { service: 'payment', name: 'POST /charge', kind: 2, trace, parent: served, start: at + 18, ms: inner, error: failed ? 'fraud check timed out' : '', extra: { ...common, 'http.route': '/charge', 'feature_flag.key': 'fraud-fallback', 'feature_flag.result.variant': slow > 0 ? 'off' : 'on' } })
  let offset = at + 22
  times.forEach((ms, n) => {
    const last = n === times.length - 1
    const timedOut = !last || failed
    const events = timedOut ? [{ timeUnixNano: nanos(offset + ms), name: 'exception', attributes: attributes({ 'exception.type': 'TimeoutError', 'exception.message': 'no answer within 1.2 s' }) }] : []
    const call = span(sender, next, { service: 'payment', name: 'POST fraud-score', kind: 3, trace, parent: pay, start: offset, ms, error: timedOut ? 'timeout' : '', extra: { 'server.address': 'fraud.example', 'http.request.resend_count': n }, events })
    if (timedOut) log(sender, { service: 'payment', time: offset + ms, severity: last ? 17 : 13, text: last ? 'ERROR' : 'WARN', body: last ? 'fraud score failed after the last attempt' : `fraud score timed out, attempt ${n + 1}`, trace, spanId: call, extra: { event: 'fraud.timeout', attempt: n + 1 } })
    offset += ms + 20
  })
  log(sender, { service: 'checkout', time: at + total, severity: failed ? 17 : 9, text: failed ? 'ERROR' : 'INFO', body: failed ? 'order failed: payment answered 502' : `order placed in ${Math.round(total)} ms`, trace, spanId: served, extra: { event: failed ? 'order.failed' : 'order.placed', amount_cents: Math.floor(next() * 20000) } })
}

/** A trace of this many spans: batches of work under one root. Returns its id. */
export async function sendLargeTrace(url, { end, spans, seed = 7 }) {
  const next = random(seed)
  const sender = new Sender(url)
  const trace = hex(next, 16)
  const start = end - 90_000
  const root = span(sender, next, { service: 'batch', name: 'nightly import', kind: 5, trace, start, ms: 80_000 })
  let made = 1
  for (let chunk = 0; made < spans; chunk += 1) {
    const at = start + (chunk * 80_000) / Math.ceil(spans / 101)
    const parent = span(sender, next, { service: 'batch', name: `chunk ${chunk}`, kind: 1, trace, parent: root, start: at, ms: 70 })
    made += 1
    for (let n = 0; n < 100 && made < spans; n += 1, made += 1) {
      span(sender, next, { service: 'store', name: 'INSERT row', kind: 3, trace, parent, start: at + n * 0.7, ms: 0.3 + next(), error: next() < 0.001 ? 'duplicate key' : '' })
    }
    if (sender.size > 5000) await sender.flush()
  }
  await sender.flush()
  return trace
}

const INCIDENT_MS = 180_000
/** Twice as long as it takes, and some for a busy machine. */
const COUNTED_MS = 90_000

/** One request, one log and one change, whose every field is written by someone who means harm. Returns the trace's id. */
function hostileRequest(sender, next, at, ms) {
  const trace = hex(next, 16)
  const harm = { [HOSTILE]: HOSTILE }
  const slow = ms > 1000
  const exception = { 'exception.type': HOSTILE, 'exception.message': HOSTILE, 'exception.stacktrace': HOSTILE }
  const events = [{ timeUnixNano: nanos(at + 1), name: HOSTILE, attributes: attributes(harm) }, ...(slow ? [{ timeUnixNano: nanos(at + 2), name: 'exception', attributes: attributes(exception) }] : [])]
  const more = { traceState: `x=${HOSTILE}`, links: [{ traceId: hex(next, 16), spanId: hex(next, 8), traceState: HOSTILE, attributes: attributes(harm) }] }
  const root = span(sender, next, { service: HOSTILE, name: HOSTILE, kind: 2, trace, start: at, ms: ms + 20, error: slow ? HOSTILE : '', extra: { ...harm, ...(slow && { [`slow ${HOSTILE}`]: HOSTILE }) }, events, more })
  span(sender, next, { service: HOSTILE, name: `call ${HOSTILE}`, kind: 3, trace, parent: root, start: at + 10, ms, error: slow ? HOSTILE : '', extra: { ...harm, 'server.address': HOSTILE, 'db.query.text': HOSTILE, 'feature_flag.key': HOSTILE, 'feature_flag.result.variant': HOSTILE }, events, more })
  log(sender, { service: HOSTILE, time: at + 5, severity: slow ? 17 : 9, text: HOSTILE, body: HOSTILE, trace, spanId: root, extra: { ...harm, event: HOSTILE }, event: HOSTILE })
  return trace
}

/** Twenty minutes of a service that is hostile in every field, and slow in the last three after a change that is so too. */
export async function sendHostile(url, end) {
  const next = random(99)
  const sender = new Sender(url, { resource: { [HOSTILE]: HOSTILE }, scope: { name: HOSTILE, version: HOSTILE, attributes: attributes({ [HOSTILE]: HOSTILE }) } })
  const onset = end - INCIDENT_MS
  let trace
  for (let at = end - 1_200_000; at < end - 8000; at += 400 + next() * 400) {
    trace = hostileRequest(sender, next, at, at < onset ? 80 + next() * 40 : 3000 + next() * 1000)
    if (sender.size > 5000) await sender.flush()
  }
  await sender.flush()
  const change = (kind, entity, back) => ({ time: new Date(onset - back).toISOString(), kind, entity, before: HOSTILE, after: `after ${HOSTILE}`, actor: HOSTILE, source: HOSTILE, attributes: { [HOSTILE]: HOSTILE } })
  await call(url, 'POST', '/api/v1/changes', [change('flag', HOSTILE, 20_000), change('deploy', HOSTILE, 30_000), change(HOSTILE, HOSTILE, 40_000)])
  return trace
}

/** Two changes of the shop: one long before the trouble, one shortly before. */
export const sendChanges = (url, end) => call(url, 'POST', '/api/v1/changes', [
  { time: new Date(end - 1_500_000).toISOString(), kind: 'deploy', entity: 'checkout', before: '2.3.0', after: '2.4.0', actor: 'ci', source: 'test' },
  { time: new Date(end - 540_000).toISOString(), kind: 'config', entity: 'payment', before: 'timeout 2 s', after: 'timeout 1.2 s', actor: 'kim', source: 'test' },
])

/** Lines of a service, said now. */
export async function sendLines(url, service, bodies) {
  const sender = new Sender(url)
  for (const body of bodies) log(sender, { service, time: Date.now(), severity: 9, text: 'INFO', body })
  await sender.flush()
}

/** A flag that is defined and switched by someone who means harm. */
export async function defineHostileFlag(url) {
  const path = `/api/v1/flags/${encodeURIComponent(HOSTILE)}`
  const definition = { state: 'ENABLED', description: HOSTILE, variants: { [HOSTILE]: HOSTILE, off: 'off' }, defaultVariant: HOSTILE, targeting: { if: [{ '==': [{ var: HOSTILE }, HOSTILE] }, HOSTILE, 'off'] } }
  await call(url, 'PUT', path, { ...definition, actor: HOSTILE, reason: HOSTILE })
  await call(url, 'PATCH', path, { defaultVariant: 'off', actor: HOSTILE, reason: HOSTILE })
}

async function call(url, method, path, body) {
  const reply = await fetch(url + path, { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  if (!reply.ok) throw new Error(`${method} ${path}: ${reply.status} ${await reply.text()}`)
}

/** Waits until calls and errors of the last minutes are counted: a call waits 10 s for its other end, series are sampled every 15 s. */
export async function counted(url) {
  const until = performance.now() + COUNTED_MS
  const has = async (path, key) => (await (await fetch(url + path)).json())[key]?.length > 0
  while (!(await has('/api/v1/services', 'calls')) || !(await has('/api/v1/errors', 'errors')) || !(await has('/api/v1/patterns', 'patterns'))) {
    if (performance.now() > until) throw new Error('nothing was counted')
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
}

/** The shop's last `minutes`, the last `slowMinutes` of them in trouble. */
export async function sendShop(url, { end, minutes = 60, slowMinutes = 8, perSecond = 4, seed = 1 }) {
  const next = random(seed)
  const sender = new Sender(url)
  const start = end - minutes * 60_000
  const onset = end - slowMinutes * 60_000
  for (let at = start; at < end - 6000; at += (1000 / perSecond) * (0.3 + next() * 1.4)) {
    request(sender, next, at, at < onset ? 0 : 0.8)
    if (sender.size > 5000) await sender.flush()
  }
  await sender.flush()
}

if (process.argv[1]?.endsWith('telemetry.mjs')) {
  const url = process.argv[2] ?? 'http://127.0.0.1:4300'
  const end = Date.now()
  await sendShop(url, { end })
  console.log('large trace', await sendLargeTrace(url, { end, spans: 50_000 }))
  console.log('hostile trace', await sendHostile(url, end))
}
