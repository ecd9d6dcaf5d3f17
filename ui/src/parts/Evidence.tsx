// What supports a statement, and what speaks against it? Each finding with its numbers and the query that found it.
import type { Finding, Red } from '../api'
import { count, digits, milliseconds, rate, share } from '../format'
import { Link } from '../shell/Shell'
import { said } from '../time'
import { urlTo } from '../url'
import { Copy } from './Panel'

/** A query to copy, or to run on the SQL page. */
export function QueryLinks({ query }: { query: string }) {
  return <span className="nowrap faint"><Copy text={query} icon title="Copy the query" /><Link className="button quiet small" to={urlTo('/sql', { q: query })}>SQL</Link></span>
}

export function Findings({ findings, sign }: { findings: Finding[]; sign?: 'for' | 'against' }) {
  if (findings.length === 0) return null
  return (
    <ul className="evidence">
      {findings.map((finding, index) => (
        <li key={index}>
          <span className={sign === 'for' ? 'error' : sign === 'against' ? 'ok' : 'dim'} title={sign === 'for' ? 'For' : sign === 'against' ? 'Against' : undefined}>{sign === 'for' ? '+' : sign === 'against' ? '−' : '·'}</span>
          <span>{said(finding.statement)} <span className="dim nowrap">effect {digits(finding.effect)}, {count(finding.support)} rows{finding.q_value === undefined || finding.q_value === null ? '' : `, q ${digits(finding.q_value)}`}</span></span>
          <QueryLinks query={finding.query} />
        </li>
      ))}
    </ul>
  )
}

/** Rate, errors and durations, each column one stretch of time. */
export function RedTable({ columns }: { columns: [string, Red | undefined][] }) {
  const rows: [string, (red: Red) => string][] = [
    ['Requests', (red) => rate(red.requests_per_s)],
    ['Errors', (red) => share(red.error_rate)],
    ['p50', (red) => milliseconds(red.p50_ms)],
    ['p95', (red) => milliseconds(red.p95_ms)],
    ['p99', (red) => milliseconds(red.p99_ms)],
  ]
  return (
    <table className="table">
      <thead><tr><th>&nbsp;</th>{columns.map(([name]) => <th key={name} className="num">{name}</th>)}</tr></thead>
      <tbody>{rows.map(([name, read]) => <tr key={name}><td className="soft fit">{name}</td>{columns.map(([column, red]) => <td key={column} className="num">{red ? read(red) : '–'}</td>)}</tr>)}</tbody>
    </table>
  )
}
