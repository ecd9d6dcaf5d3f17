// Does it run, and does it take telemetry in? The line at the foot of every screen.
import { useRef, useState } from 'react'
import { objects, ready, sql } from '../api'
import { count, plural, rate } from '../format'
import { useAsk, useEvery } from '../use'

const LEDGER = `SELECT sum(received) AS received, sum(stored) AS stored, sum(dropped) AS dropped FROM ledger WHERE sender <> 'causeway-self'`
/** Often enough to see that telemetry arrives, rarely enough to weigh nothing. */
const EVERY_MS = 5000

interface Ledger {
  received: number | null
  stored: number | null
  dropped: number | null
}

export function Health() {
  const [turn, setTurn] = useState(0)
  const before = useRef<{ at: number; received: number } | null>(null)
  useEvery(EVERY_MS, () => setTurn(turn + 1))
  const { data, error } = useAsk(`health ${turn}`, async (signal) => {
    const [state, answer] = await Promise.all([ready(signal), sql(LEDGER, signal)])
    const ledger = objects<Ledger>(answer)[0]
    const received = ledger?.received ?? 0
    const at = performance.now()
    const last = before.current
    before.current = { at, received }
    const perSecond = last && at > last.at ? ((received - last.received) * 1000) / (at - last.at) : null
    return { state, stored: ledger?.stored ?? 0, dropped: ledger?.dropped ?? 0, perSecond }
  })
  const shown = useRef(data)
  if (data) shown.current = data
  const last = shown.current
  const problems = last?.state.problems ?? []
  return (
    <footer className="health" aria-label="Health">
      <span role="status">
        {error ? <><span className="dot error" />The store can’t be reached: {error.message}</>
        : !last ? <><span className="dot" />Asking the store…</>
        : last.state.ready ? <><span className="dot ok" />Store ready</>
        : <><span className="dot error" />{problems.join('; ')}</>}
      </span>
      {last && (
        <>
          {last.perSecond !== null && <span title="Records received over the last seconds, its own telemetry left out">{rate(Math.max(0, last.perSecond)).replace('/s', '')} records/s</span>}
          <span className="optional">{count(last.stored)} stored</span>
          <span className={last.dropped > 0 ? 'warn' : 'optional'}>{last.dropped > 0 ? `${plural(last.dropped, 'record')} dropped` : 'none dropped'}</span>
        </>
      )}
      <span className="grow" />
      <span className="optional dim"><kbd>?</kbd> keys</span>
    </footer>
  )
}
