// How is what people click and type said in SQL? Literals are quoted here and nowhere else.
import { type Term, termsOf } from './search'
import { type Range, rfc3339 } from './time'

/** One condition on a field: `service_name`, a column, or `attr:`, `resource:`, `scope:` and a key. */
export interface Filter {
  field: string
  op: '=' | '!='
  /** null: the row lacks the field. */
  value: string | null
}

export const literal = (text: string) => `'${text.replaceAll("'", "''")}'`

const COLUMNS = new Set(['service_name', 'name', 'severity_text', 'event_name', 'scope_name', 'status_message'])
const NUMBERS = new Set(['severity_number', 'status_code', 'kind'])
const IDS = new Set(['trace_id', 'span_id'])

/** The expression that reads a field; an unknown name is read as an attribute. */
export function fieldSql(field: string): string {
  if (COLUMNS.has(field) || NUMBERS.has(field) || IDS.has(field)) return field
  const family = /^(attr|resource|scope):([\s\S]*)$/.exec(field)
  return family ? `${family[1]}(${literal(family[2] ?? '')})` : `attr(${literal(field)})`
}

/** The field without its family, for people. */
export const fieldLabel = (field: string) => field.replace(/^(attr|resource|scope):/, '').replace(/^service_name$/, 'service').replace(/^severity_text$/, 'severity')

export function filterSql({ field, op, value }: Filter): string {
  const left = fieldSql(field)
  // In parentheses, since the parser would take a following AND into what it is distinct from.
  if (value === null) return `${left} IS ${op === '=' ? '' : 'NOT '}NULL`
  const right = NUMBERS.has(field) && /^\d+$/.test(value) ? value : literal(value)
  return op === '=' ? `${left} = ${right}` : `(${left} IS DISTINCT FROM ${right})`
}

/** Filters travel in the URL as `f=["field","=","value"]`. */
export const filterParam = ({ field, op, value }: Filter) => JSON.stringify([field, op, value])

export function filtersOf(params: URLSearchParams): Filter[] {
  return params.getAll('f').flatMap((text) => {
    try {
      const parsed: unknown = JSON.parse(text)
      if (!Array.isArray(parsed)) return []
      const [field, op, value] = parsed as unknown[]
      const valid = typeof field === 'string' && (op === '=' || op === '!=') && (typeof value === 'string' || value === null)
      return valid ? [{ field, op, value } as Filter] : []
    } catch {
      return []
    }
  })
}

export const withFilter = (filters: Filter[], added: Filter) => [...filters.filter((filter) => filterParam(filter) !== filterParam(added)), added].map(filterParam)

export const timeSql = ({ start, end }: Range) => `time >= ${literal(rfc3339(start))} AND time < ${literal(rfc3339(end))}`

/** All conditions in one; those that are empty fall away. */
export function all(...conditions: (string | null | undefined | false)[]): string {
  const given = conditions.filter(Boolean) as string[]
  return given.length === 0 ? 'TRUE' : given.join(' AND ')
}

/** Spans at which a request enters a service. */
export const ENTRY = '(kind IN (2, 5) OR parent_span_id IS NULL)'

/** What is typed into a search box over logs, as a condition. Null where nothing is asked. */
export function searchSql(text: string): string | null {
  const conditions = termsOf(text).map((term) => (term.not ? `NOT coalesce(${termSql(term)}, FALSE)` : termSql(term)))
  return conditions.length > 0 ? all(...conditions) : null
}

function termSql(term: Term): string {
  const like = (part: string) => `body LIKE ${literal(`%${part.replace(/[\\%_]/g, '\\$&')}%`)}`
  switch (term.kind) {
    case 'expression': return `body ${term.caseless ? '~*' : '~'} ${literal(term.text)}`
    case 'pair': return filterSql(term)
    // A whole word is found by the index; anything else needs the text itself.
    case 'word': return `has_token(body, ${literal(term.text)})`
    case 'part': return like(term.text)
  }
}

/** Spans of a call, as those who call have them: of `server` they know the span below, or what the call's attributes name. */
export function callSql(call: { client: string; server: string; kind: string }, hasSpans: boolean, range: Range): string {
  if (hasSpans) return `span_id IN (SELECT parent_span_id FROM spans WHERE ${all(timeSql(range), `service_name = ${literal(call.server)}`, 'kind IN (2, 5)')})`
  return all('kind IN (3, 4)', `coalesce(${CALL_NAMES.map((name) => `attr(${literal(name)})`).join(', ')}) = ${literal(call.server)}`)
}

/** What names the other end of a call, the most telling first: as `crates/model/src/calls.rs` has it, which a test compares. */
export const CALL_NAMES = [
  'peer.service', 'server.address', 'net.peer.name', 'db.namespace', 'db.name', 'messaging.destination.name', 'rpc.service', 'network.peer.address',
  'db.system.name', 'db.system', 'messaging.system', 'rpc.system',
]
