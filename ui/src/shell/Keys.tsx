// What can be done without a mouse? The keys, and the sheet that lists them.
import { useEffect, useRef } from 'react'
import { switchTheme } from '../theme'
import { go, urlTo } from '../url'
import { refresh } from '../use'
import { SCREENS } from './Shell'

const KEYS: [string, string][] = [
  ['Ctrl K', 'Go to a screen, a service, a trace, a question'],
  ['?', 'This sheet'],
  ['/', 'To the search box of the screen'],
  ['.', 'Choose the window of time'],
  ['r', 'Ask again, up to now'],
  ['d', 'Dark or light'],
  ['g h, g t, g l …', 'Home, Services (v), Errors (e), Traces, Logs, Compare (c), Investigate (i), Flags (f), SQL (s)'],
  ['↑ ↓', 'In a trace: the span above, the span below'],
  ['← →', 'In a trace: close, open what is below a span'],
  ['← → ↑ ↓', 'On a chart: move, with Shift select; Enter takes it, Esc forgets it'],
  ['← →', 'On a change: to the next one; Enter compares after with before'],
  ['Ctrl Enter', 'In the SQL box: run'],
  ['Esc', 'Close what is open'],
]

const typing = (target: EventTarget | null) =>
  target instanceof HTMLElement && (target.isContentEditable || ['INPUT', 'TEXTAREA', 'SELECT'].includes(target.tagName) || target.shadowRoot !== null)

/** Listens to the keys that work everywhere. */
export function useKeys(open: { palette: () => void; sheet: () => void }) {
  const latest = useRef(open)
  latest.current = open
  useEffect(() => {
    let pending = false
    const listen = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
        event.preventDefault()
        latest.current.palette()
        return
      }
      if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || document.querySelector('dialog[open]')) return
      if (pending) {
        pending = false
        const screen = SCREENS.find(({ key }) => key === event.key)
        if (screen) go(urlTo(screen.path))
        return
      }
      const actions: Record<string, () => void> = {
        g: () => { pending = true },
        r: refresh,
        d: switchTheme,
        '?': () => latest.current.sheet(),
        '/': () => document.querySelector<HTMLInputElement>('[data-key="search"]')?.focus(),
        '.': () => document.querySelector<HTMLButtonElement>('[data-key="time"]')?.click(),
      }
      const action = actions[event.key]
      if (!action) return
      event.preventDefault()
      action()
    }
    document.addEventListener('keydown', listen)
    return () => document.removeEventListener('keydown', listen)
  }, [])
}

/** A native dialog, opened when it is mounted. */
export function useDialog() {
  const ref = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    if (!ref.current?.open) ref.current?.showModal()
  }, [])
  return ref
}

export function KeySheet({ close }: { close: () => void }) {
  const ref = useDialog()
  return (
    <dialog ref={ref} className="sheet" onClose={close} onClick={(event) => event.target === ref.current && close()}>
      <div className="row"><h1 className="grow">Keys</h1><button className="button quiet" onClick={close} aria-label="Close">✕</button></div>
      <dl>{KEYS.flatMap(([key, what]) => [<dt key={`${key} ${what}`}><kbd>{key}</kbd></dt>, <dd key={what}>{what}</dd>])}</dl>
    </dialog>
  )
}
