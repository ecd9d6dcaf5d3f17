// How often did something come, and what is remarkable about it? What error groups and patterns of logs have in common.
import type { Came, Regression } from '../api'
import { digits, duration } from '../format'

/** Unix ms of each step and how often it came in it: the answer names only steps in which it did. */
export function steps({ start_ms, end_ms, step_ms }: { start_ms: number; end_ms: number; step_ms: number }, counts: [number, number][]): { times: number[]; values: number[] } {
  const found = new Map(counts)
  const times = Array.from({ length: Math.max(1, Math.ceil((end_ms - start_ms) / Math.max(1, step_ms))) }, (_, index) => start_ms + index * step_ms)
  return { times, values: times.map((time) => found.get(time) ?? 0) }
}

export interface Sign {
  label: string
  title: string
  tone: 'error' | 'warn'
}

function regressionSign(regression: Regression): Sign {
  switch (regression.kind) {
    case 'new_in_version': return { label: `new in ${regression.version}`, title: `It began in ${regression.version}; ${regression.clean_version} had other errors but none of these`, tone: 'error' }
    case 'back_in_version': return { label: `back in ${regression.version}`, title: `It is back in ${regression.version}, after ${regression.clean_version} had none`, tone: 'error' }
    case 'back_after_silence': return { label: 'back', title: `It is back after a silence of ${duration(regression.silence_ms * 1e6)}`, tone: 'error' }
  }
}

/** What is remarkable, the worst first. */
export function signs({ is_new, is_surging, ratio, before, regression }: Pick<Came, 'is_new' | 'is_surging' | 'ratio' | 'before'> & { regression?: Regression | null }): Sign[] {
  const found: Sign[] = []
  if (regression) found.push(regressionSign(regression))
  else if (is_new) found.push({ label: 'new', title: 'It did not come in the day before this window', tone: 'error' })
  if (is_surging && !is_new) found.push({ label: `surges${ratio === null ? '' : ` ×${digits(ratio)}`}`, title: `Three times as often as before or more: ${digits(before)} in as long a time before`, tone: 'warn' })
  return found
}

/** What patterns have in the place of what varies. */
export const WILDCARD = '<_>'

/** The words of a pattern that never vary, as a search; words that touch what varies may be parts of longer ones and are none. */
export function constantWords(pattern: string, wordsMax = 12): string {
  const marked = pattern.replaceAll(WILDCARD, '\0')
  const words = [...marked.matchAll(/[\p{L}\p{N}_\0]+/gu)].map(([word]) => word).filter((word) => !word.includes('\0'))
  return [...new Set(words)].slice(0, wordsMax).join(' ')
}
