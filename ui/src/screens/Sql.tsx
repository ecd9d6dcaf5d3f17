// What does the store say to a statement of one's own?
import { useVirtualizer } from '@tanstack/react-virtual'
import { useMemo, useRef, useState } from 'react'
import type { Answer, Value } from '../api'
import { bytes, count, plural } from '../format'
import { Copy, Failed, HowKnown, Skeleton, knownBy } from '../parts/Panel'
import { Link } from '../shell/Shell'
import { setParams, urlTo, usePlace } from '../url'
import { refresh, useRows, useSql } from '../use'
import { Editor } from './Editor'

/** Rows that are shown; an export asks /api/v1/sql itself. */
const ROWS_MAX = 10_000
const ROW = 24

const EXAMPLES: [string, string][] = [
  ['Slowest operations', `SELECT service_name, name, count(*) AS spans, approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ns) / 1e6 AS p95_ms\nFROM spans WHERE time > now() - INTERVAL '1 hour' GROUP BY 1, 2 ORDER BY 4 DESC LIMIT 20`],
  ['Errors a minute', `SELECT date_bin(INTERVAL '1 minute', time) AS minute, service_name, count(*) AS errors\nFROM logs WHERE severity_number >= 17 AND time > now() - INTERVAL '1 hour' GROUP BY 1, 2 ORDER BY 1`],
  ['Which attributes there are', `SELECT * FROM attribute_keys('spans') ORDER BY rows DESC`],
  ['What was received, stored, dropped', 'SELECT * FROM ledger'],
]

export function Sql() {
  const { params } = usePlace()
  const asked = params.get('q') ?? ''
  const [draft, setDraft] = useState<string | null>(null)
  const text = draft ?? asked
  const { data, error, busy } = useSql(asked || null, { partial: true, rowsMax: ROWS_MAX })
  const columns = useRows<{ table_name: string; column_name: string }>(`SELECT table_name, column_name FROM information_schema.columns WHERE table_schema <> 'information_schema'`)
  const schema = useMemo(() => {
    const tables: Record<string, string[]> = {}
    for (const { table_name, column_name } of columns.rows ?? []) (tables[table_name] ??= []).push(column_name)
    return tables
  }, [columns.rows])
  const run = () => {
    if (text.trim() === '') return
    if (text === asked) refresh()
    else setParams({ q: text })
    setDraft(null)
  }
  return (
    <>
      <section className="panel" aria-label="Statement">
        <div className="body padded stack tight">
          <Editor text={text} change={setDraft} run={run} schema={schema} />
          <div className="row wrap">
            <button className="button primary" onClick={run} disabled={text.trim() === ''}>Run <kbd>Ctrl Enter</kbd></button>
            <Copy text={`curl ${window.location.origin}/api/v1/sql -d ${shellQuoted(JSON.stringify({ query: text }))}`} label="Copy as curl" />
            <span className="grow" />
            {EXAMPLES.map(([name, example]) => <button key={name} className="button quiet small optional" onClick={() => { setDraft(null); setParams({ q: example }) }}>{name}</button>)}
          </div>
        </div>
      </section>
      <section className={`panel result ${busy ? 'busy' : ''}`} aria-label="Answer" aria-busy={busy}>
        {error ? <Failed error={error} /> : data ? <Result answer={data} /> : busy ? <div className="notice"><Skeleton rows={8} /></div> : <p className="notice">Tables: {Object.keys(schema).map((table) => <span key={table}><Link to={urlTo('/sql', { q: `SELECT * FROM ${table} LIMIT 100` })}>{table}</Link> </span>)}</p>}
      </section>
    </>
  )
}

const shellQuoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`

function shown(value: Value | undefined): string {
  if (value === null || value === undefined) return ''
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

const NUMERIC = /^(u?int|float|decimal)/

function Result({ answer }: { answer: Answer }) {
  const box = useRef<HTMLDivElement>(null)
  const rows = useVirtualizer({ count: answer.rows.length, getScrollElement: () => box.current, estimateSize: () => ROW, overscan: 20 })
  const items = rows.getVirtualItems()
  const [first, last] = [items[0], items.at(-1)]
  const csv = () => [answer.columns.map(({ name }) => name), ...answer.rows.map((row) => row.map(shown))].map((row) => row.map((cell) => (/[",\n\r]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(',')).join('\n')
  const width = answer.columns.length
  return (
    <>
      <header><span className="dim">{plural(answer.rows.length, 'row')}{answer.stats.coverage ? `, ended at a limit (${answer.stats.coverage.limit})` : ''} · {bytes(answer.stats.bytes_scanned)} read</span><CopyCsv make={csv} /><HowKnown known={knownBy(answer)} /></header>
      <div ref={box} className="scroll grow" tabIndex={0} role="region" aria-label="Rows">
        <table className="grid">
          <thead><tr>{answer.columns.map(({ name, type }, index) => <th key={index} title={type}>{name}</th>)}</tr></thead>
          <tbody>
            {first && first.start > 0 && <tr style={{ height: first.start }}><td colSpan={width} /></tr>}
            {items.map(({ index }) => <tr key={index} style={{ height: ROW }}>{answer.rows[index]!.map((value, column) => <Cell key={column} value={value} column={answer.columns[column]!} />)}</tr>)}
            {last && last.end < rows.getTotalSize() && <tr style={{ height: rows.getTotalSize() - last.end }}><td colSpan={width} /></tr>}
          </tbody>
        </table>
        {answer.rows.length === 0 && <p className="notice">{count(answer.stats.rows_scanned)} rows looked at, none in the answer.</p>}
      </div>
    </>
  )
}

function CopyCsv({ make }: { make: () => string }) {
  const [done, setDone] = useState(false)
  return <button className="button quiet small" onBlur={() => setDone(false)} onClick={() => navigator.clipboard.writeText(make()).then(() => setDone(true), () => setDone(false))}>{done ? 'Copied' : 'Copy as CSV'}</button>
}

function Cell({ value, column }: { value: Value; column: { name: string; type: string } }) {
  const text = shown(value)
  if (value === null) return <td className="dim">null</td>
  const trace = /trace_id$/.test(column.name) && /^[0-9a-f]{32}$/.test(text)
  return <td className={NUMERIC.test(column.type) ? 'num' : undefined} title={text.length > 60 ? text.slice(0, 2000) : undefined}>{trace ? <Link to={urlTo(`/traces/${text}`)}>{text}</Link> : text}</td>
}
