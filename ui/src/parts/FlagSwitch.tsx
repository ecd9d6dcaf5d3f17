// How is a flag switched from a screen? In two steps with a name and a reason, since what it changes is production.
import { useState } from 'react'
import { type Flag, type FlagPatch, setFlag } from '../api'

/** Who the audit names where nobody has said a name; the page has no accounts. */
const NOBODY = 'web'
/** The name that was given last in this browser. */
const NAME_KEY = 'causeway.name'

interface FlagSwitchProps {
  flag: string
  patch: FlagPatch
  label: string
  reason: string
  primary?: boolean
  done: (flag: Flag) => void
}

export function FlagSwitch({ flag, patch, label, reason, primary, done }: FlagSwitchProps) {
  const [asked, setAsked] = useState(false)
  const [why, setWhy] = useState(reason)
  const [who, setWho] = useState(() => localStorage.getItem(NAME_KEY) ?? '')
  const [state, setState] = useState<{ busy: boolean; error: string | null }>({ busy: false, error: null })
  const apply = () => {
    setState({ busy: true, error: null })
    const name = who.trim()
    localStorage.setItem(NAME_KEY, name)
    setFlag(flag, { ...patch, actor: name || NOBODY, reason: why }).then(
      (changed) => { setAsked(false); setState({ busy: false, error: null }); done(changed) },
      (error: Error) => setState({ busy: false, error: error.message }),
    )
  }
  if (!asked) return <button className={primary ? 'button primary' : 'button small'} onClick={() => setAsked(true)}>{label}</button>
  return (
    <form className="row wrap" onSubmit={(event) => { event.preventDefault(); apply() }} onKeyDown={(event) => event.key === 'Escape' && setAsked(false)}>
      <input className="input reason" value={why} onChange={(event) => setWhy(event.target.value)} aria-label="Reason, for the audit" placeholder="Reason, for the audit" autoFocus />
      <input className="input" size={12} value={who} onChange={(event) => setWho(event.target.value)} aria-label="Your name, for the audit" placeholder="Your name" autoComplete="username" />
      <button className="button primary" disabled={state.busy}>{label} now</button>
      <button type="button" className="button quiet" onClick={() => setAsked(false)}>Cancel</button>
      {state.error && <span className="error" role="alert">{state.error}</span>}
    </form>
  )
}
