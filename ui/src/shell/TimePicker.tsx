// Which window of time is looked at? Chosen from a list, or typed as words or instants.
import { useEffect, useRef, useState } from 'react'
import { parseInstant, rangeLabel, rfc3339 } from '../time'
import { setParams, usePlace } from '../url'
import { refresh, useNow } from '../use'

const PRESETS = ['5m', '15m', '30m', '1h', '3h', '6h', '12h', '1d', '2d', '7d', '30d']

/** Sets the window; a chart that is dragged over calls this where it has no use of its own for the selection. */
export function setRange(start: number, end: number) {
  setParams({ from: rfc3339(Math.floor(start)), to: rfc3339(Math.ceil(end)) })
}

export function TimePicker() {
  const { params } = usePlace()
  const now = useNow()
  const [open, setOpen] = useState(false)
  const box = useRef<HTMLDivElement>(null)
  const [from, to] = [params.get('from'), params.get('to')]
  useEffect(() => {
    if (!open) return
    const outside = (event: PointerEvent) => box.current?.contains(event.target as Node) || setOpen(false)
    document.addEventListener('pointerdown', outside)
    return () => document.removeEventListener('pointerdown', outside)
  }, [open])
  const choose = (patch: { from: string; to: string | null }) => {
    setOpen(false)
    refresh()
    setParams(patch)
  }
  return (
    <div className="anchor" ref={box} onKeyDown={(event) => event.key === 'Escape' && setOpen(false)}>
      <button className="button" data-key="time" aria-expanded={open} aria-haspopup="dialog" onClick={() => setOpen(!open)} title="Window of time (.)">
        {rangeLabel(from, to, now)} <span className="dim" aria-hidden>▾</span>
      </button>
      {open && <Choices from={from} to={to} now={now} choose={choose} />}
    </div>
  )
}

function Choices({ from, to, now, choose }: { from: string | null; to: string | null; now: number; choose: (patch: { from: string; to: string | null }) => void }) {
  const [first, setFirst] = useState(from ?? 'now-1h')
  const [last, setLast] = useState(to ?? 'now')
  const [start, end] = [parseInstant(first, now), parseInstant(last, now)]
  const valid = start !== null && end !== null && start < end
  const field = (label: string, value: string, set: (text: string) => void, bad: boolean, autoFocus: boolean) => (
    <label className="field">
      {label}
      <input className="input mono" value={value} onChange={(event) => set(event.target.value)} aria-invalid={bad} autoFocus={autoFocus} spellCheck={false} />
    </label>
  )
  return (
    <form className="popover right picker" role="dialog" aria-label="Window of time" onSubmit={(event) => {
      event.preventDefault()
      if (valid) choose({ from: first, to: last === 'now' ? null : last })
    }}>
      <div className="stack tight">
        {field('From', first, setFirst, start === null, true)}
        {field('To', last, setLast, end === null || !valid, false)}
        <p className="dim">now-15m, 2026-01-31 09:00, RFC 3339 or Unix time. A selection on a chart can set it too.</p>
        <div><button className="button primary" disabled={!valid}>Apply</button></div>
      </div>
      <div className="presets">
        {PRESETS.map((preset) => {
          const word = `now-${preset}`
          return <button type="button" key={preset} aria-current={(from ?? 'now-1h') === word && !to} onClick={() => choose({ from: word, to: null })}>{rangeLabel(word, null, now)}</button>
        })}
      </div>
    </form>
  )
}
