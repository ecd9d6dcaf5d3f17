// How is what people click and type said in LogQL? For what follows lines as they come; literals are quoted here and nowhere else.
import { type Term, termsOf } from './search'
import type { Filter } from './sql'

/** What is no character of a word, as SQL's `has_token` sees words. */
const NO_WORD = '[^0-9A-Za-z_\\x{80}-\\x{10FFFF}]'
/** The names of severities from the least to the most urgent, with the number each begins at (OpenTelemetry). */
const LEVELS: [string, number][] = [['trace', 1], ['debug', 5], ['info', 9], ['warn', 13], ['error', 17], ['fatal', 21]]
/** Fields that a stream or a line has under another name. */
const NAMES: Record<string, string> = { severity_number: 'detected_level' }

/** The names of severities that are as urgent as this number, or more. */
export const levelsFrom = (level: number) => LEVELS.filter(([, number]) => number >= level).map(([name]) => name)

export const literal = (text: string) => JSON.stringify(text)

/** The label that has a field: without its family, `_` for what is no letter or digit. */
function label(field: string): string {
  const name = (NAMES[field] ?? field.replace(/^(attr|resource|scope):/, '')).replace(/[^A-Za-z0-9_]/g, '_')
  return /^\d/.test(name) ? `_${name}` : name
}

function filterLogql({ field, op, value }: Filter): string {
  // Who sent no name has one in LogQL.
  const missing = field === 'service_name' ? 'unknown_service' : ''
  return `| ${label(field)}${op}${literal(value ?? missing)}`
}

function termLogql(term: Term): string {
  const { not } = term
  switch (term.kind) {
    case 'expression': return `${not ? '!~' : '|~'} ${literal(term.caseless ? `(?i)${term.text}` : term.text)}`
    case 'part': return `${not ? '!=' : '|='} ${literal(term.text)}`
    case 'word': return `${not ? '!~' : '|~'} ${literal(`(?:^|${NO_WORD})${term.text}(?:$|${NO_WORD})`)}`
    case 'pair': return filterLogql(not ? { ...term, op: term.op === '=' ? '!=' : '=' } : term)
  }
}

export interface LogSearch {
  service: string | null
  /** The least severity number. */
  level: number
  filters: Filter[]
  text: string
  /** A service that is left out. */
  without: string | null
}

/** The query of a search; a condition in SQL has no words in LogQL and is none of it. */
export function searchLogql({ service, level, filters, text, without }: LogSearch): string {
  const stream = [service === null ? 'service_name=~".+"' : `service_name=${literal(service)}`, without !== null && `service_name!=${literal(without)}`]
  const stages = [level > 0 && `| detected_level=~${literal(levelsFrom(level).join('|'))}`, ...filters.map(filterLogql), ...termsOf(text).map(termLogql)]
  return [`{${stream.filter(Boolean).join(', ')}}`, ...stages.filter(Boolean)].join(' ')
}
