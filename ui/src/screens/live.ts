// What does a stream of lines come to? Its pieces become lines, the lines a list that never grows beyond its limit, with what was missed.
import type { Line } from './Lines'

/** Lines that are kept on screen; older ones are found by a search. A screen has fifty: enough to scroll back to what was just seen. */
export const LIVE_LINES_MAX = 5000
/** Characters of a line that has not ended yet: four times the largest request that is taken. Beyond it the stream is none of ours. */
const PENDING_MAX = 1 << 28
/** The rate is that of so long a time. */
const RATE_MS = 10_000

/** What the program says: a line, or how many lines it looked at and how many it had to leave out. */
type Told =
  | { time_unix_nano: string; line: string; labels: Record<string, string> }
  | { seen: number; missed: number }

export interface Live {
  /** Newest first. */
  lines: Line[]
  /** Lines that came, those no longer kept among them. */
  came: number
  /** Lines that came faster than they were read, of which the program told only the number. */
  missed: number
  /** Lines that were looked at, whether or not they were searched for. */
  seen: number
  /** When how many came, for the rate. */
  recent: { at: number; lines: number }[]
}

export const NOTHING: Live = { lines: [], came: 0, missed: 0, seen: 0, recent: [] }

/** Whole lines of text, and the begin of one that has not ended. */
export function split(pending: string, chunk: string): { whole: string[]; pending: string } {
  const parts = (pending + chunk).split('\n')
  const rest = parts.pop() ?? ''
  if (rest.length > PENDING_MAX) throw new Error('a line of the stream does not end')
  return { whole: parts.filter((part) => part !== ''), pending: rest }
}

const LEVELS: Record<string, number> = { trace: 1, debug: 5, info: 9, warn: 13, error: 17, fatal: 21 }

/** RFC 3339 with nine digits, as SQL writes it: a line that is opened is looked for by it. */
export function timeOf(nano: string): string {
  const digits = nano.padStart(10, '0')
  const [seconds, rest] = [digits.slice(0, -9), digits.slice(-9)]
  return `${new Date(Number(seconds) * 1000).toISOString().slice(0, 19)}.${rest}Z`
}

function lineOf({ time_unix_nano, line, labels }: { time_unix_nano: string; line: string; labels: Record<string, string> }): Line {
  const service = labels.service_name ?? null
  return {
    time: timeOf(time_unix_nano),
    severity_number: LEVELS[labels.detected_level ?? ''] ?? 0,
    severity_text: labels.severity_text ?? labels.detected_level ?? null,
    service: service === 'unknown_service' ? null : service,
    body: line,
    trace_id: labels.trace_id ?? null,
    span_id: labels.span_id ?? null,
  }
}

/** Adds what was told by now (ms of any clock that goes on). */
export function joined(live: Live, told: string[], now: number): Live {
  const fresh: Line[] = []
  let { missed, seen } = live
  for (const text of told) {
    const said = JSON.parse(text) as Told
    if ('line' in said) fresh.push(lineOf(said))
    else {
      missed += said.missed
      seen += said.seen
    }
  }
  const recent = [...live.recent, { at: now, lines: fresh.length }].filter(({ at }) => at > now - RATE_MS)
  if (fresh.length === 0) return { ...live, missed, seen, recent }
  return { lines: [...fresh.reverse(), ...live.lines].slice(0, LIVE_LINES_MAX), came: live.came + fresh.length, missed, seen, recent }
}

/** Lines a second of late; of what was followed for a shorter time, of that. */
export function perSecond({ recent }: Live, begun: number, now: number): number {
  const lines = recent.filter(({ at }) => at > now - RATE_MS).reduce((sum, { lines }) => sum + lines, 0)
  return (lines * 1000) / Math.max(1000, Math.min(RATE_MS, now - begun))
}
