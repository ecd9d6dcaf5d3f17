// Who calls whom? Services from left to right, lines as wide as they are busy and as red as they fail, each with its numbers.
import { useEffect, useMemo } from 'react'
import type { Call, MapService, ServiceKind } from '../api'
import { milliseconds, rate, share } from '../format'
import { useSize } from '../use'
import { NODE_HEIGHT, NODE_WIDTH, type Spot, curve, layout, wordSpots } from './layout'
import { callName, failedShare, isBad, lineWidth, ratesInWords, redness, shown } from './shown'

/** A map is made smaller until here; beyond it is scrolled. */
const SCALE_MIN = 0.8
/** Pixels of the words on a line. */
const WORDS_WIDTH = 76
const WORDS_HEIGHT = 28
const ARROW = 7

export const KINDS: Record<ServiceKind, { label: string; icon: string }> = {
  service: { label: 'service', icon: 'M8 1.8 13.5 5v6L8 14.2 2.5 11V5z' },
  database: { label: 'database', icon: 'M3 4c0-1.2 2.2-2 5-2s5 .8 5 2-2.2 2-5 2-5-.8-5-2zm0 0v8c0 1.2 2.2 2 5 2s5-.8 5-2V4M3 8c0 1.2 2.2 2 5 2s5-.8 5-2' },
  messaging_system: { label: 'queue', icon: 'M1.5 5h13v6h-13zM5 5v6M8.5 5v6M12 5v6' },
  external: { label: 'external', icon: 'M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM2 8h12M8 2c-4 4-4 8 0 12M8 2c4 4 4 8 0 12' },
  user: { label: 'from outside', icon: 'M8 8a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM2.5 14c.4-3 2.6-4.3 5.5-4.3s5.1 1.3 5.5 4.3' },
}

export function KindIcon({ kind }: { kind: ServiceKind }) {
  return <svg className="kind" viewBox="0 0 16 16" width="14" height="14" fill="none" stroke="currentColor" strokeWidth="1.3" strokeLinejoin="round" aria-hidden><path d={KINDS[kind]?.icon ?? KINDS.external.icon} /></svg>
}

interface Props {
  services: MapService[]
  calls: Call[]
  /** How long the window is of which they are. */
  seconds: number
  node: string | null
  call: string | null
  pick: (chosen: { node: string | null; call: string | null }) => void
}

export function ServiceMap({ services, calls, seconds, node, call, pick }: Props) {
  const [box, { width }] = useSize<HTMLDivElement>()
  const { nodes, lines } = useMemo(() => shown(services, calls), [services, calls])
  // What stands where depends on who calls whom, not on the numbers, which change all the time.
  const shape = JSON.stringify([nodes.map(({ name }) => name).sort(), lines.map(({ client, server, kind }) => [client, server, kind]).sort()])
  const { placed, spotOf } = useMemo(() => {
    const [names, edges] = JSON.parse(shape) as [string[], [string, string, ServiceKind][]]
    const ends = edges.map(([from, to]) => ({ from, to }))
    const placed = layout(names, ends)
    const words = wordSpots(ends, placed.paths, WORDS_WIDTH, WORDS_HEIGHT)
    return { placed, spotOf: new Map(edges.map(([client, server, kind], index) => [callName({ client, server, kind }), { path: placed.paths[index] ?? [], words: words[index]! }])) }
  }, [shape])
  const scale = width > 0 ? Math.min(1, Math.max(SCALE_MIN, width / placed.width)) : 1
  useEffect(() => {
    box.current?.querySelector('[aria-pressed="true"]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' })
  }, [node, call, width, box])
  const most = Math.max(...lines.map(({ requests }) => requests), 0)
  const touches = (line: Call) => (node !== null ? line.client === node || line.server === node : call === null || callName(line) === call)
  const places = lines.flatMap((line) => {
    const spot = spotOf.get(callName(line))
    return spot ? [{ line, ...spot }] : []
  })
  return (
    <div className="service-map" ref={box}>
      <div style={{ height: placed.height * scale, width: placed.width * scale }}>
        <div className="sheet-of-map" style={{ width: placed.width, height: placed.height, transform: `scale(${scale})` }}>
          <svg width={placed.width} height={placed.height} aria-hidden>
            {places.map(({ line, path }) => <Line key={callName(line)} line={line} path={path} most={most} faded={!touches(line)} />)}
          </svg>
          {nodes.map((service) => {
            const spot = placed.nodes.get(service.name)
            return spot && <Node key={service.name} service={service} spot={spot} seconds={seconds} chosen={service.name === node} pick={() => pick({ node: service.name === node ? null : service.name, call: null })} />
          })}
          {places.map(({ line, words }) => {
            const name = callName(line)
            return <Words key={name} line={line} spot={words} seconds={seconds} chosen={name === call} faded={!touches(line)} pick={() => pick({ node: null, call: name === call ? null : name })} />
          })}
        </div>
      </div>
    </div>
  )
}

function Line({ line, path, most, faded }: { line: Call; path: Spot[]; most: number; faded: boolean }) {
  const end = path.at(-1)
  if (!end) return null
  const color = `color-mix(in srgb, var(--error) ${redness(failedShare(line))}%, var(--bar))`
  const width = lineWidth(line.requests, most)
  // It arrives level, from the left unless it leads back.
  const from = (path.at(-2)?.x ?? 0) < end.x ? -1 : 1
  const size = ARROW + width / 2
  return (
    <g opacity={faded ? 0.2 : 1}>
      <path d={curve(path)} fill="none" style={{ stroke: color }} strokeWidth={width} />
      <path d={`M${end.x},${end.y} l${from * size},${-size / 2} v${size} z`} style={{ fill: color }} />
    </g>
  )
}

function Node({ service, spot, seconds, chosen, pick }: { service: MapService; spot: Spot; seconds: number; chosen: boolean; pick: () => void }) {
  const failed = failedShare(service)
  const kind = KINDS[service.kind]?.label ?? service.kind
  const hasNumbers = service.requests > 0
  return (
    <button className={`node ${service.kind} ${isBad(service) ? 'bad' : ''}`} style={{ left: spot.x, top: spot.y, width: NODE_WIDTH, height: NODE_HEIGHT }} aria-pressed={chosen} onClick={pick}
      title={service.name} aria-label={`${service.name}, ${kind}${hasNumbers ? `: ${ratesInWords(service, seconds)}` : ''}`}>
      <span className="row"><KindIcon kind={service.kind} /><b className="cut">{service.name}</b></span>
      <span className="cut soft">{hasNumbers ? <>{rate(service.requests / seconds)} <span className={failed > 0 ? 'error' : ''}>{failed > 0 ? share(failed) : ''}</span> {service.p95_ms === null ? '' : milliseconds(service.p95_ms)}</> : kind}</span>
    </button>
  )
}

function Words({ line, spot, seconds, chosen, faded, pick }: { line: Call; spot: Spot; seconds: number; chosen: boolean; faded: boolean; pick: () => void }) {
  const failed = failedShare(line)
  const said = `${line.client} calls ${line.server}: ${ratesInWords(line, seconds)}`
  return (
    <button className={`call ${faded ? 'faded' : ''}`} style={{ left: spot.x, top: spot.y }} aria-pressed={chosen} onClick={pick} title={said} aria-label={said}>
      <span>{rate(line.requests / seconds)}{failed > 0 && <span className="error"> {share(failed)}</span>}</span>
      {line.p95_ms !== null && <span className="soft">{milliseconds(line.p95_ms)}</span>}
    </button>
  )
}
