// What is said right now? Lines as they come, newest first; who pauses reads no further, and is told how many were missed.
import { useEffect, useRef, useState } from 'react'
import { followLogs } from '../api'
import { count, digits, plural } from '../format'
import { Copy, Failed } from '../parts/Panel'
import { useEvery, useNow } from '../use'
import { LineList } from './Lines'
import { LIVE_LINES_MAX, type Live as Lines, NOTHING, joined, perSecond, split } from './live'

/** Lines from before that stand there at first: a screen's worth. */
const BEFORE = 50

interface Followed {
  live: Lines
  /** `performance.now()` when it began. */
  begun: number
  state: 'asking' | 'following' | 'ended'
  error: Error | null
}

/** Until the browser would paint: so no more is read than can be shown, and nothing while nobody looks at the page. */
const painted = () => new Promise((resolve) => requestAnimationFrame(resolve))

/** Follows a query while it is not paused. */
function useFollowed(query: string, turn: number, paused: boolean): Followed {
  const [followed, setFollowed] = useState<Followed>({ live: NOTHING, begun: 0, state: 'asking', error: null })
  const gate = useRef({ paused, open: () => {} })
  useEffect(() => {
    gate.current.paused = paused
    if (!paused) gate.current.open()
  }, [paused])
  useEffect(() => {
    const controller = new AbortController()
    const set = (change: (before: Followed) => Followed) => controller.signal.aborted || setFollowed(change)
    const follow = async () => {
      setFollowed({ live: NOTHING, begun: performance.now(), state: 'asking', error: null })
      const reader = await followLogs(query, BEFORE, controller.signal)
      set((before) => ({ ...before, begun: performance.now(), state: 'following' }))
      const decoder = new TextDecoder()
      for (let pending = ''; !controller.signal.aborted; ) {
        const { done, value } = await reader.read()
        // What is paused is not read: the program then drops for us, and says how much.
        while (gate.current.paused && !controller.signal.aborted) await new Promise<void>((resolve) => { gate.current.open = resolve })
        if (done) break
        const parts = split(pending, decoder.decode(value, { stream: true }))
        pending = parts.pending
        set((before) => ({ ...before, live: joined(before.live, parts.whole, performance.now()) }))
        await painted()
      }
      set((before) => ({ ...before, state: 'ended' }))
    }
    follow().catch((error: Error) => set((before) => ({ ...before, state: 'ended', error })))
    return () => {
      controller.abort()
      gate.current.open()
    }
  }, [query, turn])
  return followed
}

interface Props {
  /** In LogQL. */
  query: string
  /** What was searched for. */
  text: string
  /** A condition in SQL, which has no words in LogQL. */
  without: string | null
}

export function Live({ query, text, without }: Props) {
  const [paused, setPaused] = useState(false)
  const [again, setAgain] = useState(0)
  const now = useNow()
  const { live, begun, state, error } = useFollowed(query, again + now, paused)
  const [, tick] = useState(0)
  useEvery(1000, () => tick((turn) => turn + 1), state === 'following' && !paused)
  const kept = live.lines.length
  return (
    <section className="panel live-lines" aria-label="Live">
      <header>
        <h2><span className={state === 'following' && !paused ? 'dot ok pulse' : error ? 'dot error' : 'dot'} />{state === 'asking' ? 'Asking…' : state === 'ended' ? 'Ended' : paused ? 'Paused' : 'Live'}</h2>
        {state === 'ended' ? <button className="button small" onClick={() => setAgain(again + 1)}>Follow again</button> : <button className="button small" aria-pressed={paused} onClick={() => setPaused(!paused)}>{paused ? 'Go on' : 'Pause'}</button>}
        <span className="soft" role="status">{paused ? 'nothing is read; what is missed is told when it goes on' : state === 'following' ? `${digits(perSecond(live, begun, performance.now()))} lines/s` : ''}</span>
        <span className="dim">{plural(live.came, 'line')}, {count(live.seen)} looked at since it began{live.came > kept ? `, the newest ${count(LIVE_LINES_MAX)} kept` : ''}</span>
        {live.missed > 0 && <span className="tag warn" title="They came faster than they were read. A search finds them.">{count(live.missed)} missed</span>}
        {without && <span className="tag warn" title="It is SQL; lines that come are picked by the other conditions alone">without the SQL predicate</span>}
        <span className="how">as they come, in LogQL <Copy text={query} icon title="Copy the query" /></span>
      </header>
      <p className="mono cut inset dim" title={query}>{query}</p>
      {error && <Failed error={error} />}
      {kept > 0 ? <LineList lines={live.lines} beside={now} text={text} /> : !error && <p className="notice">{state === 'following' ? 'Nothing of this kind was said lately. What comes stands here at once.' : ''}</p>}
    </section>
  )
}
