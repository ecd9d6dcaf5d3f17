// Where to? Screens, services, a trace by its id, words in the logs, a statement: from one box.
import { Command } from 'cmdk'
import { type ReactNode, useState } from 'react'
import { useRows, useRange } from '../use'
import { all, filterParam, timeSql } from '../sql'
import { switchTheme } from '../theme'
import { go, urlTo } from '../url'
import { useDialog } from './Keys'
import { SCREENS } from './Shell'

export function Palette({ close }: { close: () => void }) {
  const ref = useDialog()
  const range = useRange()
  const [text, setText] = useState('')
  const services = useRows<{ service: string }>(
    `SELECT service_name AS service, count(*) AS spans FROM spans WHERE ${all(timeSql(range), 'service_name IS NOT NULL')} GROUP BY 1 ORDER BY 2 DESC LIMIT 200`,
  )
  const typed = text.trim()
  const item = (value: string, run: () => void, children: ReactNode) => (
    <Command.Item key={value} value={value} onSelect={() => { close(); run() }}>{children}</Command.Item>
  )
  return (
    <dialog ref={ref} className="palette" aria-label="Go to" onClose={close} onClick={(event) => event.target === ref.current && close()}>
      <Command label="Go to" loop>
        <Command.Input value={text} onValueChange={setText} placeholder="Screen, service, trace id, words in logs, SELECT …" autoFocus />
        <Command.List>
          <Command.Empty>Nothing of that name</Command.Empty>
          {typed !== '' && (
            <Command.Group heading="What you typed">
              {/^[0-9a-f]{32}$/i.test(typed) && item(`trace ${typed}`, () => go(urlTo(`/traces/${typed.toLowerCase()}`)), <>Open trace <span className="mono">{typed}</span></>)}
              {/^(select|with|explain|show|describe)\b/i.test(typed)
                ? item(`sql ${typed}`, () => go(urlTo('/sql', { q: typed })), <>Run as SQL</>)
                : item(`logs ${typed}`, () => go(urlTo('/logs', { q: typed })), <>Search logs for “{typed}”</>)}
            </Command.Group>
          )}
          <Command.Group heading="Screens">
            {SCREENS.map((screen) => item(screen.name, () => go(urlTo(screen.path)), <><span className="grow">{screen.name}</span><kbd>g {screen.key}</kbd></>))}
            {item('Switch dark and light theme', switchTheme, <><span className="grow">Switch dark and light</span><kbd>d</kbd></>)}
          </Command.Group>
          {(services.rows ?? []).map(({ service }) => (
            <Command.Group key={service} heading={service}>
              {item(`${service} on the map`, () => go(urlTo('/services', { node: service })), <>{service} on the map</>)}
              {item(`${service} errors`, () => go(urlTo('/errors', { service })), <>Errors of {service}</>)}
              {item(`${service} traces`, () => go(urlTo('/traces', { service })), <>Traces of {service}</>)}
              {item(`${service} logs`, () => go(urlTo('/logs', { f: filterParam({ field: 'service_name', op: '=', value: service }) })), <>Logs of {service}</>)}
              {item(`${service} investigate`, () => go(urlTo('/investigate', { service })), <>Investigate {service}</>)}
            </Command.Group>
          ))}
        </Command.List>
      </Command>
    </dialog>
  )
}
