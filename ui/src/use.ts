// When is what asked? Hooks that ask, keep the last answer while the next is under way, and forget what nobody waits for.
import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react'
import { type Answer, objects, sql } from './api'
import { timeSql } from './sql'
import { type Range, exact, isRelative, parseRange } from './time'
import { usePlace } from './url'

export interface Asking<T> {
  data: T | null
  error: Error | null
  /** An answer is under way; `data` may still be the one before. */
  busy: boolean
}

/** Asks anew whenever `key` changes; null asks nothing. */
export function useAsk<T>(key: string | null, ask: (signal: AbortSignal) => Promise<T>): Asking<T> {
  const [state, setState] = useState<Asking<T> & { key: string | null }>({ data: null, error: null, busy: key !== null, key })
  const latest = useRef(ask)
  latest.current = ask
  useEffect(() => {
    if (key === null) {
      setState({ data: null, error: null, busy: false, key })
      return
    }
    const controller = new AbortController()
    setState((before) => ({ ...before, busy: true, key }))
    latest.current(controller.signal).then(
      (data) => controller.signal.aborted || setState({ data, error: null, busy: false, key }),
      (error: Error) => controller.signal.aborted || setState({ data: null, error, busy: false, key }),
    )
    return () => controller.abort()
  }, [key])
  return state
}

/** The answer to a question in SQL. */
export function useSql(text: string | null, options?: { partial?: boolean; rowsMax?: number }): Asking<Answer> {
  const now = useNow()
  return useAsk(text === null ? null : `${now}\n${text}`, (signal) => sql(text ?? '', signal, options))
}

/** The same with its rows as objects. */
export function useRows<T>(text: string | null, options?: { partial?: boolean; rowsMax?: number }) {
  const asking = useSql(text, options)
  const rows = useMemo(() => (asking.data ? objects<T>(asking.data) : null), [asking.data])
  return { ...asking, rows }
}

/** A value and who watches it. */
export function store<T>(initial: T) {
  let value = initial
  const watchers = new Set<() => void>()
  const watch = (watcher: () => void) => {
    watchers.add(watcher)
    return () => watchers.delete(watcher)
  }
  return {
    get: () => value,
    set(next: T) {
      value = next
      for (const watcher of watchers) watcher()
    },
    use: () => useSyncExternalStore(watch, () => value),
  }
}

/** The "now" of relative windows. All panels share it, so that they speak of the same window, until it is moved on. */
const clockHand = store(Date.now())
export const useNow = clockHand.use
export const refresh = () => clockHand.set(Date.now())

/** The window of time of this screen. */
export function useRange(): Range & { relative: boolean } {
  const { params } = usePlace()
  const now = useNow()
  const [from, to] = [params.get('from'), params.get('to')]
  return useMemo(() => ({ ...parseRange(from, to, now), relative: isRelative(from, to) }), [from, to, now])
}

/** A window that is emptier than this before its first record is shown from there on. */
const UNSEEN_MAX = 0.1

/**
 * The window from the first record on that the table has in it: an hour of which two minutes are known would be a stripe at the
 * edge. Null until that is known. What is searched for plays no part, so that all charts of a screen show the same.
 */
export function useSeen(table: 'spans' | 'logs', range: Range): Range | null {
  const { rows, error } = useRows<{ first: string | null }>(`SELECT min(time) AS first FROM ${table} WHERE ${timeSql(range)}`, { partial: true })
  const first = rows?.[0]?.first
  const { start, end } = range
  return useMemo(() => {
    if (rows === null && !error) return null
    // A hair earlier, so that the first record is inside after rounding.
    const begin = first ? exact(first).ms - 1 : start
    return begin - start > (end - start) * UNSEEN_MAX ? { start: begin, end } : { start, end }
  }, [rows === null, error, first, start, end])
}

/** Calls now and then while the page is looked at. */
export function useEvery(ms: number, call: () => void, active = true) {
  const latest = useRef(call)
  latest.current = call
  useEffect(() => {
    if (!active) return
    const timer = setInterval(() => document.visibilityState === 'visible' && latest.current(), ms)
    return () => clearInterval(timer)
  }, [ms, active])
}

/** The width and height that an element has. */
export function useSize<E extends HTMLElement>() {
  const ref = useRef<E>(null)
  const [size, setSize] = useState({ width: 0, height: 0 })
  useEffect(() => {
    const element = ref.current
    if (!element) return
    const observer = new ResizeObserver(() => setSize({ width: element.clientWidth, height: element.clientHeight }))
    observer.observe(element)
    return () => observer.disconnect()
  }, [])
  return [ref, size] as const
}
