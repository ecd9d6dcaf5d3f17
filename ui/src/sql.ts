// How is what people click and type said in SQL? Literals are quoted here and nowhere else.
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

/**
 * What is typed into a search box over logs: words (all must occur), "phrases", /regular expressions/, key=value, key!=value and
 * -word for what must not occur. Null where nothing is asked.
 */
export function searchSql(text: string): string | null {
  const terms = [...text.matchAll(/(-?)(?:"([^"]*)"|\/((?:[^/\\]|\\.)+)\/(i?)|(\S+))/g)]
  const conditions = terms.map(([, minus, phrase, regex, caseless, word]) => {
    const condition = termSql({ phrase, regex, caseless: caseless === 'i', word })
    return condition && minus ? `NOT coalesce(${condition}, FALSE)` : condition
  })
  return conditions.some(Boolean) ? all(...conditions) : null
}

function termSql({ phrase, regex, caseless, word }: { phrase?: string; regex?: string; caseless: boolean; word?: string }): string | null {
  const like = (part: string) => `body LIKE ${literal(`%${part.replace(/[\\%_]/g, '\\$&')}%`)}`
  if (regex !== undefined) return `body ${caseless ? '~*' : '~'} ${literal(regex)}`
  if (phrase !== undefined) return phrase ? like(phrase) : null
  if (!word) return null
  const pair = /^([\w.:-]+?)(!?=)(.*)$/s.exec(word)
  if (pair) {
    const field = pair[1] === 'service' ? 'service_name' : pair[1]!
    return filterSql({ field, op: pair[2] as '=' | '!=', value: pair[3]! })
  }
  // A whole word is found by the index; anything else needs the text itself.
  return /^[\p{L}\p{N}_]+$/u.test(word) ? `has_token(body, ${literal(word)})` : like(word)
}
