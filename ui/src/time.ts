// Which window of time is meant? Relative words and RFC 3339 become instants, and instants become text again.

export interface Range {
  /** Unix time in ms. */
  start: number
  end: number
}

const UNIT_MS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }

/** `now`, `now-15m`, RFC 3339, a plain local date and time, or Unix seconds, ms or ns; null where it is none of them. */
export function parseInstant(text: string, now: number): number | null {
  const word = text.trim()
  const relative = /^now(?:\s*([-+])\s*(\d+(?:\.\d+)?)\s*([smhdw]))?$/i.exec(word)
  if (relative) {
    const [, sign, amount, unit] = relative
    if (!sign) return now
    const shift = Number(amount) * (UNIT_MS[(unit ?? '').toLowerCase()] ?? 0)
    return sign === '-' ? now - shift : now + shift
  }
  if (/^\d{9,19}$/.test(word)) {
    const number = Number(word)
    return word.length <= 11 ? number * 1000 : word.length <= 14 ? number : number / 1e6
  }
  if (!/^\d{4}-\d\d/.test(word)) return null
  const time = Date.parse(word.replace(' ', 'T'))
  return Number.isNaN(time) ? null : time
}

/** The window that `from` and `to` mean; the last hour where they mean none. */
export function parseRange(from: string | null, to: string | null, now: number): Range {
  const end = parseInstant(to ?? 'now', now) ?? now
  const start = parseInstant(from ?? 'now-1h', now) ?? end - UNIT_MS.h!
  return start < end ? { start, end } : { start: end - UNIT_MS.h!, end }
}

export function isRelative(from: string | null, to: string | null): boolean {
  return [from ?? 'now', to ?? 'now'].some((word) => word.trim().startsWith('now'))
}

export function rfc3339(ms: number): string {
  return new Date(ms).toISOString()
}

/** Milliseconds and the nanoseconds beyond them: a double holds no Unix time in ns. */
export interface Exact {
  ms: number
  ns: number
}

/** Rows come sorted by time, so that most share their second with the one before. */
let known = { second: '', ms: 0 }

/** Reads what the server writes: RFC 3339 in UTC with up to nine digits. */
export function exact(text: string): Exact {
  const second = text.slice(0, 19)
  if (second !== known.second) known = { second, ms: Date.parse(`${second}Z`) }
  const digits = text.length > 20 ? text.slice(20, -1).padEnd(9, '0') : '000000000'
  return { ms: known.ms + Number(digits.slice(0, 3)), ns: Number(digits.slice(3, 9)) }
}

/** Nanoseconds from one instant to another. */
export function between(from: Exact, to: Exact): number {
  return (to.ms - from.ms) * 1e6 + (to.ns - from.ns)
}

const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400, 604800]

/** Seconds of a bucket so that about this many fill the window. */
export function bucketSeconds(range: Range, buckets: number): number {
  const wanted = (range.end - range.start) / 1000 / buckets
  return STEPS_S.find((step) => step >= wanted) ?? STEPS_S.at(-1)!
}

const pad = (number: number, digits = 2) => String(number).padStart(digits, '0')

/** Local time of day; with the date where it is not the day of `beside`. */
export function clock(ms: number, { beside = Date.now(), millis = false } = {}): string {
  const at = new Date(ms)
  const time = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}${millis ? `.${pad(at.getMilliseconds(), 3)}` : ''}`
  const other = new Date(beside)
  return at.toDateString() === other.toDateString() ? time : `${date(ms)} ${time}`
}

/** A statement with its instants said as times of day, as they are said everywhere else. */
export function said(statement: string): string {
  return statement.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, (instant) => clock(Date.parse(instant)))
}

export function date(ms: number): string {
  const at = new Date(ms)
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`
}

/** The window in words, for the time picker. */
export function rangeLabel(from: string | null, to: string | null, now: number): string {
  const relative = /^now-(\d+)([smhdw])$/.exec((from ?? 'now-1h').trim())
  if (relative && (!to || to.trim() === 'now')) {
    const name = { s: 'second', m: 'minute', h: 'hour', d: 'day', w: 'week' }[relative[2]!]
    return relative[1] === '1' ? `Last ${name}` : `Last ${relative[1]} ${name}s`
  }
  const { start, end } = parseRange(from, to, now)
  const first = clock(start, { beside: now })
  return `${first} – ${clock(end, { beside: first.includes(' ') ? start : now })}`
}
