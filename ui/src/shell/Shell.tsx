// Which screen is shown, and what stands around each? The rail, the bar with the window of time, the health line, the keys.
import { type AnchorHTMLAttributes, type MouseEvent, type ReactNode, Suspense, lazy, useEffect, useState } from 'react'
import icon from '../icon.svg'
import { Compare } from '../screens/Compare'
import { Flags } from '../screens/Flags'
import { Home } from '../screens/Home'
import { Investigation } from '../screens/Investigation'
import { Logs } from '../screens/Logs'
import { Trace } from '../screens/Trace'
import { Traces } from '../screens/Traces'
import { switchTheme, useTheme } from '../theme'
import { go, urlTo, usePlace } from '../url'
import { refresh } from '../use'
import { Guard } from './Guard'
import { Health } from './Health'
import { KeySheet, useKeys } from './Keys'
import { Palette } from './Palette'
import { TimePicker } from './TimePicker'

const Errors = lazy(() => import('../screens/Errors').then(({ Errors }) => ({ default: Errors })))
const Services = lazy(() => import('../screens/Services').then(({ Services }) => ({ default: Services })))
const Sql = lazy(() => import('../screens/Sql').then(({ Sql }) => ({ default: Sql })))

export interface Screen {
  path: string
  name: string
  /** Pressed after `g`. */
  key: string
  icon: string
}

export const SCREENS: Screen[] = [
  { path: '/', name: 'Home', key: 'h', icon: 'M2 7.5 8 2.5l6 5M3.5 6.5v7h9v-7' },
  { path: '/services', name: 'Services', key: 'v', icon: 'M2 8a1.8 1.8 0 1 0 3.6 0A1.8 1.8 0 1 0 2 8zM10.4 3.5a1.8 1.8 0 1 0 3.6 0 1.8 1.8 0 1 0-3.6 0zM10.4 12.5a1.8 1.8 0 1 0 3.6 0 1.8 1.8 0 1 0-3.6 0zM5.3 7.1l5.3-2.7M5.3 8.9l5.3 2.7' },
  { path: '/errors', name: 'Errors', key: 'e', icon: 'M8 2.5 14.5 13.5h-13zM8 6.5v3.5M8 11.7v.1' },
  { path: '/traces', name: 'Traces', key: 't', icon: 'M2 3.5h8M4.5 8h7M7 12.5h7' },
  { path: '/logs', name: 'Logs', key: 'l', icon: 'M2 3.5h12M2 6.5h9M2 9.5h12M2 12.5h6' },
  { path: '/compare', name: 'Compare', key: 'c', icon: 'M3 13.5v-5M6.5 13.5v-11M10 13.5V6M13.5 13.5v-8' },
  { path: '/investigate', name: 'Investigate', key: 'i', icon: 'M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zM10.3 10.3 14 14' },
  { path: '/flags', name: 'Flags', key: 'f', icon: 'M3.5 14V2.5h8.5l-2 3 2 3H3.5' },
  { path: '/sql', name: 'SQL', key: 's', icon: 'M2.5 4l4 4-4 4M8 12.5h5.5' },
]

/** A link that stays within the page; with a modifier the browser opens it elsewhere, as everywhere. */
export function Link({ to, children, ...rest }: { to: string; children?: ReactNode } & Omit<AnchorHTMLAttributes<HTMLAnchorElement>, 'href' | 'onClick'>) {
  const follow = (event: MouseEvent) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return
    event.preventDefault()
    go(to)
  }
  return <a href={to} onClick={follow} {...rest}>{children}</a>
}

function Content({ path }: { path: string }) {
  if (path.startsWith('/traces/')) return <Trace id={decodeURIComponent(path.slice('/traces/'.length))} />
  switch (path) {
    case '/': return <Home />
    case '/services': return <Suspense fallback={null}><Services /></Suspense>
    case '/errors': return <Suspense fallback={null}><Errors /></Suspense>
    case '/traces': return <Traces />
    case '/logs': return <Logs />
    case '/compare': return <Compare />
    case '/investigate': return <Investigation />
    case '/flags': return <Flags />
    case '/sql': return <Suspense fallback={null}><Sql /></Suspense>
    default: return <p className="notice">Nothing is shown at this address. <Link to="/">Home</Link></p>
  }
}

/** Screens that divide their height among their panels themselves. */
const FIXED = (path: string) => path.startsWith('/traces/') || path === '/logs' || path === '/sql'

export function Shell() {
  const { path } = usePlace()
  const theme = useTheme()
  const [palette, setPalette] = useState(false)
  const [sheet, setSheet] = useState(false)
  useKeys({ palette: () => setPalette(true), sheet: () => setSheet(true) })
  const current = SCREENS.find((screen) => screen.path === path || (screen.path !== '/' && path.startsWith(`${screen.path}/`)))
  useEffect(() => {
    document.title = current && current.path !== '/' ? `${current.name} · Causeway` : 'Causeway'
  }, [current])
  return (
    <div className="shell">
      <a className="skip" href="#main">To the content</a>
      <nav className="rail" aria-label="Screens">
        <Link className="brand" to={urlTo('/')}><img src={icon} alt="" /><span>Causeway</span></Link>
        {SCREENS.map((screen) => (
          <Link key={screen.path} className="nav" to={urlTo(screen.path)} title={`${screen.name} (g ${screen.key})`} aria-current={screen === current ? 'page' : undefined}>
            <svg viewBox="0 0 16 16" fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" strokeLinejoin="round" aria-hidden><path d={screen.icon} /></svg>
            <span>{screen.name}</span>
          </Link>
        ))}
      </nav>
      <div className="topbar">
        <h1 className="cut">{path.startsWith('/traces/') ? 'Trace' : (current?.name ?? 'Causeway')}</h1>
        <button className="button quiet" onClick={() => setPalette(true)}>Go to… <kbd>Ctrl K</kbd></button>
        <TimePicker />
        <button className="button" onClick={refresh} title="Ask again (r)" aria-label="Ask again">↻</button>
        <button className="button quiet" onClick={switchTheme} title="Dark or light (d)" aria-label={`Switch to ${theme.shown === 'dark' ? 'light' : 'dark'} theme`}>{theme.shown === 'dark' ? '☀' : '☾'}</button>
        <button className="button quiet" onClick={() => setSheet(true)} title="Keys (?)" aria-label="Keys">?</button>
      </div>
      <main className={FIXED(path) ? 'main fixed' : 'main'} id="main" tabIndex={-1} key={path}><Guard><Content path={path} /></Guard></main>
      <Health />
      {palette && <Palette close={() => setPalette(false)} />}
      {sheet && <KeySheet close={() => setSheet(false)} />}
    </div>
  )
}
