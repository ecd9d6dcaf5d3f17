// Which flags are there, how do they stand, and who moved them? Listed, switched, with the audit of each.
import { Fragment, useState } from 'react'
import { type Flag, type FlagEdit, type Value, flagAudit, flags } from '../api'
import { FlagSwitch } from '../parts/FlagSwitch'
import { Copy, Failed, Panel, Skeleton } from '../parts/Panel'
import { clock, date } from '../time'
import { setParams, usePlace } from '../url'
import { useAsk, useNow } from '../use'

export function Flags() {
  const { params } = usePlace()
  const now = useNow()
  const [edits, setEdits] = useState(0)
  const { data, error, busy } = useAsk(`flags ${now} ${edits}`, flags)
  const opened = params.get('flag')
  const changed = () => setEdits(edits + 1)
  return (
    <Panel title="Flags" actions={<span className="dim">served by OFREP at /ofrep/v1; each edit is audited and becomes a change</span>} busy={busy} flush>
      {error ? <Failed error={error} /> : !data ? <div className="notice"><Skeleton rows={5} height={26} /></div> : data.length === 0 ? (
        <p className="notice">No flag is defined. <span className="mono">PUT /api/v1/flags/KEY</span> defines one, in flagd’s JSON.</p>
      ) : (
        <table className="table flags">
          <thead><tr><th>Flag</th><th className="fit">State</th><th>Default variant</th><th className="fit">Rules</th><th className="fit">Last edit</th><th className="fit">&nbsp;</th></tr></thead>
          <tbody>
            {data.map((flag) => (
              <Fragment key={flag.key}>
                <FlagRow flag={flag} changed={changed} open={opened === flag.key} />
                {opened === flag.key && <tr><td colSpan={6} className="words"><Detail flag={flag} edits={edits} /></td></tr>}
              </Fragment>
            ))}
          </tbody>
        </table>
      )}
    </Panel>
  )
}

function FlagRow({ flag, changed, open }: { flag: Flag; changed: () => void; open: boolean }) {
  const enabled = flag.state === 'ENABLED'
  return (
    <tr>
      <td className="words"><b>{flag.key}</b>{flag.description && <div className="dim">{flag.description}</div>}</td>
      <td className="fit"><span className={enabled ? 'tag ok' : 'tag'}>{enabled ? 'enabled' : 'disabled'}</span> <FlagSwitch flag={flag.key} patch={{ state: enabled ? 'DISABLED' : 'ENABLED' }} label={enabled ? 'Disable' : 'Enable'} reason="" done={changed} /></td>
      <td className="words">
        <div className="row wrap">
          {Object.entries(flag.variants).map(([name, value]) => name === flag.defaultVariant
            ? <span key={name} className="tag accent" title={JSON.stringify(value)}>{name}</span>
            : <FlagSwitch key={name} flag={flag.key} patch={{ defaultVariant: name }} label={`Set to ${name}`} reason="" done={changed} />)}
        </div>
      </td>
      <td className="fit">{hasRules(flag.targeting) ? <span className="tag">targeting</span> : <span className="dim">none</span>}</td>
      <td className="soft fit">{clock(Date.parse(flag.changed_at))}{flag.changed_by && ` by ${flag.changed_by}`} <span className="dim">v{flag.version}</span></td>
      <td className="fit"><button className="button quiet small" aria-expanded={open} onClick={() => setParams({ flag: open ? null : flag.key })}>{open ? 'Close' : 'Audit'}</button></td>
    </tr>
  )
}

const hasRules = (targeting: Value | undefined) => typeof targeting === 'object' && targeting !== null && Object.keys(targeting).length > 0

function Detail({ flag, edits }: { flag: Flag; edits: number }) {
  const { data, error } = useAsk(`${flag.key} ${edits}`, (signal) => flagAudit(flag.key, signal))
  const definition = JSON.stringify({ state: flag.state, variants: flag.variants, defaultVariant: flag.defaultVariant, targeting: flag.targeting }, null, 2)
  return (
    <div className="stack">
      <div className="code">{definition}<Copy text={definition} /></div>
      <h3>Audit</h3>
      {error ? <Failed error={error} /> : !data ? <Skeleton rows={3} /> : (
        <ol className="stack tight">{data.toSorted((left, right) => right.version - left.version).map((edit) => <Edit key={edit.version} edit={edit} />)}</ol>
      )}
    </div>
  )
}

/** What differs between the definitions, in words. */
function difference({ before, after }: FlagEdit): string {
  if (!before) return 'defined'
  if (!after) return 'removed'
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]))
  const text = (value: Value | undefined) => (value === undefined ? 'none' : typeof value === 'string' ? value : JSON.stringify(value))
  return names.map((name) => `${name} ${text(before[name])} → ${text(after[name])}`).join(', ') || 'nothing'
}

function Edit({ edit }: { edit: FlagEdit }) {
  const at = Date.parse(edit.time)
  return (
    <li className="row top"><span className="mono dim nowrap">{date(at)} {clock(at, { beside: at })}</span><span className="dim">v{edit.version}</span><span className="grow wrap-any">{difference(edit)}{edit.reason && <span className="soft"> – {edit.reason}</span>}</span><span className="dim nowrap">{edit.actor ?? 'unknown'} by {edit.way === 'file' ? 'file' : 'API'}</span></li>
  )
}
