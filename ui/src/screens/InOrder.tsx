// What happened, one after the other? The spans and the logs of one trace in a single list.
import { useVirtualizer } from '@tanstack/react-virtual'
import { useMemo, useRef } from 'react'
import { duration } from '../format'
import { between, exact } from '../time'
import type { Tree } from '../trace/layout'

export interface TraceLog {
  time: string
  severity_number: number
  service: string | null
  body: string | null
  span_id: string | null
}

interface Entry {
  at: number
  node: number
  log: TraceLog | null
}

const ROW = 22

export function InOrder({ tree, logs, selected, select }: { tree: Tree; logs: TraceLog[]; selected: number; select: (index: number) => void }) {
  const box = useRef<HTMLDivElement>(null)
  const entries = useMemo(() => {
    const byId = new Map(tree.nodes.map(({ id }, index) => [id, index]))
    const began = tree.nodes.length > 0 ? tree.began : logs[0] ? exact(logs[0].time) : tree.began
    const ofLogs = logs.map((log): Entry => ({ at: between(began, exact(log.time)), node: log.span_id === null ? -1 : (byId.get(log.span_id) ?? -1), log }))
    const ofSpans = tree.nodes.map(({ start }, node): Entry => ({ at: start, node, log: null }))
    return [...ofSpans, ...ofLogs].sort((left, right) => left.at - right.at)
  }, [tree, logs])
  const rows = useVirtualizer({ count: entries.length, getScrollElement: () => box.current, estimateSize: () => ROW, overscan: 20 })
  return (
    <div ref={box} className="lines" tabIndex={0} role="list" aria-label="Spans and logs in order of time">
      <div className="inner" style={{ height: rows.getTotalSize() }}>
        {rows.getVirtualItems().map(({ index, start }) => {
          const entry = entries[index]!
          const node = tree.nodes[entry.node]
          const state = entry.log ? (entry.log.severity_number >= 17 ? 'is-error' : entry.log.severity_number >= 13 ? 'is-warn' : '') : node?.failed ? 'is-error' : ''
          return (
            <div key={index} role="listitem" className={`line-row ${state}`} style={{ transform: `translateY(${start}px)` }}>
              <button className="head order" aria-current={entry.node >= 0 && entry.node === selected} onClick={() => entry.node >= 0 && select(entry.node)}>
                <span className="edge" />
                <span className="dim num">+{duration(entry.at)}</span>
                <span className="level">{entry.log ? 'log' : 'span'}</span>
                <span className="cut soft">{entry.log ? entry.log.service : node?.service}</span>
                <span className="cut">{entry.log ? entry.log.body : <>{'· '.repeat(Math.min(node?.depth ?? 0, 12))}{node?.name} <span className="dim">{duration((node?.end ?? 0) - (node?.start ?? 0))}</span></>}</span>
              </button>
            </div>
          )
        })}
      </div>
    </div>
  )
}
