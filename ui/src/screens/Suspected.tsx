// Who is suspected, and what speaks for and against each? The verdict, the evidence, and the way to undo it.
import { useEffect, useState } from 'react'
import type { Mitigation, Suspect, Suspects } from '../api'
import { clock, said } from '../time'
import { digits, plural } from '../format'
import { Findings, QueryLinks } from '../parts/Evidence'
import { FlagSwitch } from '../parts/FlagSwitch'
import { Failed, Panel, Skeleton, knownByHow } from '../parts/Panel'
import type { Asking } from '../use'

const VERDICTS: Record<Suspects['verdict'], { label: string; tag: string }> = {
  cause: { label: 'cause found', tag: 'tag error' },
  no_convincing_cause: { label: 'no convincing cause', tag: 'tag warn' },
  nothing_broken: { label: 'nothing is broken', tag: 'tag ok' },
}

/** Below this score a suspect is shown only when asked for. */
const HARDLY = 0.05
/** A second whose score is this near to the first is shown as openly: a symptom and its cause may change places. */
const NEAR = 0.1

interface SuspectedProps {
  asking: Asking<Suspects>
  mitigated: string | null
  mitigate: (at: string) => void
}

export function Suspected({ asking: { data, error, busy }, mitigated, mitigate }: SuspectedProps) {
  const verdict = data && VERDICTS[data.verdict]
  const cleared = data?.suspects.filter(({ score }) => score < HARDLY) ?? []
  const best = data?.suspects[0]?.score ?? 0
  // The likeliest stands open, a second that is nearly as likely too, and what can be undone right here.
  const isOpen = ({ rank, score, mitigation }: Suspect) => data?.verdict === 'cause' && (rank === 1 || (rank === 2 && score >= best - NEAR) || (mitigation?.kind === 'flag' && score >= best / 2))
  const one = (suspect: Suspect) => <One key={JSON.stringify([suspect.kind, suspect.entity, suspect.change?.time])} suspect={suspect} first={suspect.rank === 1 && data?.verdict === 'cause'} open={isOpen(suspect)} mitigated={mitigated} mitigate={mitigate} />
  return (
    <Panel title="Suspects" actions={verdict && <span className={verdict.tag}>{verdict.label}</span>} known={knownByHow(data?.how)} busy={busy} flush className="suspects">
      {error ? <Failed error={error} /> : !data ? <div className="notice"><Skeleton rows={6} height={22} /></div> : (
        <>
          <p className="statement">{said(data.statement)}</p>
          {data.suspects.filter(({ score }) => score >= HARDLY).map(one)}
          {cleared.length > 0 && <details><summary className="notice">{plural(cleared.length, 'other')} looked at and hardly suspected</summary>{cleared.map(one)}</details>}
        </>
      )}
    </Panel>
  )
}

interface OneProps {
  suspect: Suspect
  first: boolean
  /** Its evidence and its way back stand open. */
  open: boolean
  mitigated: string | null
  mitigate: (at: string) => void
}

function One({ suspect, first, open, mitigated, mitigate }: OneProps) {
  // What was opened stays so: evidence that grows may change places, but must not shut what somebody reads or fills in.
  const [opened, setOpened] = useState(open)
  useEffect(() => {
    if (open) setOpened(true)
  }, [open])
  const evidence = (
    <>
      <Findings findings={suspect.for} sign="for" />
      <Findings findings={suspect.against} sign="against" />
      <p className="refute row top"><span className="dim grow">What would clear it: {said(suspect.refute.statement)}</span><QueryLinks query={suspect.refute.query} /></p>
      {suspect.mitigation && !mitigated && <div className="mitigation"><Undo mitigation={suspect.mitigation} title={suspect.title} primary={first} mitigate={mitigate} /></div>}
    </>
  )
  const { change } = suspect
  const title = said(suspect.title)
  const at = change ? clock(Date.parse(change.time)) : ''
  return (
    <article className="suspect">
      <div className="row top">
        <span className={first ? 'rank first' : 'rank'}>{suspect.rank}</span>
        <div className="grow">
          <div className="row wrap"><span className="title">{title}</span><span className="tag">{suspect.kind}</span>{change && <span className="dim">{title.includes(at) ? '' : `${at} `}{change.actor && `by ${change.actor}`}</span>}</div>
          <details open={opened} onToggle={(event) => setOpened(event.currentTarget.open)}>
            <summary className="dim">{suspect.for.length} for, {suspect.against.length} against</summary>
            {evidence}
          </details>
        </div>
        <span className="row" title={`Score ${digits(suspect.score)} of 1`}><svg className="score" aria-hidden><rect width={`${Math.round(suspect.score * 100)}%`} height="5" /></svg><span className="dim">{suspect.score.toFixed(2)}</span></span>
      </div>
    </article>
  )
}

function Undo({ mitigation, title, primary, mitigate }: { mitigation: Mitigation; title: string; primary: boolean; mitigate: (at: string) => void }) {
  const done = <button className="button" onClick={() => mitigate(new Date().toISOString())} title="From now on it is checked whether it helped">It is done, check it</button>
  if (mitigation.kind === 'flag') {
    const to = mitigation.variant ?? mitigation.state ?? ''
    const patch = { ...(mitigation.variant !== undefined && { defaultVariant: mitigation.variant }), ...(mitigation.state !== undefined && { state: mitigation.state as 'ENABLED' | 'DISABLED' }) }
    return <FlagSwitch flag={mitigation.flag} patch={patch} label={`Set ${mitigation.flag} to ${to}`} reason={`mitigation: ${title}`} primary={primary} done={(flag) => mitigate(flag.changed_at)} />
  }
  if (mitigation.kind === 'rollback') return <div className="row wrap"><span>Roll <b>{mitigation.entity}</b> back to <b>{mitigation.to}</b>.</span>{done}</div>
  return <div className="row wrap"><span>{mitigation.statement}</span>{done}</div>
}
