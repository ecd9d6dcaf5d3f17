// Did it help? Asked again and again from the mitigation on, until the symptom is shown to be gone.
import { useEffect, useState } from 'react'
import { type Symptom, type Validation, validate } from '../api'
import { duration } from '../format'
import { Findings, RedTable } from '../parts/Evidence'
import { Panel, knownByHow } from '../parts/Panel'
import { clock, said } from '../time'
import { setParams } from '../url'
import { useAsk, useEvery } from '../use'

/** Telemetry takes some seconds to arrive; more often would only ask the same. */
const POLL_MS = 3000
/** After half an hour the window is looked at by hand. */
const GIVE_UP_MS = 1_800_000

const WORDS: Record<Validation['verdict'], { title: string; state: string }> = {
  fixed: { title: 'Fixed', state: 'good' },
  improved: { title: 'Improved', state: 'unsure' },
  no_effect: { title: 'No effect so far', state: 'bad' },
  worse: { title: 'Worse', state: 'bad' },
  too_early: { title: 'Too early to tell', state: '' },
}

export function Verdict({ symptom, mitigated }: { symptom: Symptom; mitigated: string }) {
  const [now, setNow] = useState(() => Date.now())
  const [shown, setShown] = useState<Validation | null>(null)
  const decided = shown?.verdict === 'fixed'
  const waiting = !decided && now - Date.parse(mitigated) < GIVE_UP_MS
  const end = Math.max(now, Date.parse(mitigated) + 1000)
  const { data, error, busy } = useAsk(`${JSON.stringify(symptom)}${mitigated}${end}`, (signal) => validate({ symptom: { ...symptom, end: new Date(end).toISOString() }, mitigated_at: mitigated }, signal))
  // A verdict that takes longer than the pause is waited for, not asked for again.
  useEvery(POLL_MS, () => setNow(Date.now()), waiting && !busy)
  useEffect(() => {
    if (data) setShown(data)
  }, [data])
  const words = shown && WORDS[shown.verdict]
  return (
    <Panel title="Did it help?" actions={<><span className="dim">since {clock(Date.parse(mitigated))}</span><button className="button quiet small" onClick={() => setParams({ mitigated: null })}>Forget</button></>} known={knownByHow(shown?.how)} busy={busy && !shown} flush>
      <div className={`verdict ${words?.state ?? ''}`} role="status">
        <p className="big">{words?.title ?? 'Asking…'}</p>
        <p className="soft">{shown && said(shown.statement)}</p>
        {error && !shown && <p className="error">{error.message}</p>}
        {waiting ? <p className="dim">Looks again every {duration(POLL_MS * 1e6)}, now {clock(now)}.</p> : !decided && <p className="dim">No longer looked at by itself. <button className="button small" onClick={() => setNow(Date.now())}>Look again</button></p>}
        {shown && <Findings findings={shown.findings} />}
      </div>
      {shown && <RedTable columns={[['before', shown.before], ['during', shown.during], ['since', shown.after]]} />}
    </Panel>
  )
}
