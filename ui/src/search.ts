// What is asked for in the search box of Logs? Its words become terms here; what each means is said in SQL (sql.ts) and LogQL (logql.ts).
import type { Filter } from './sql'

export type Term = { not: boolean } & (
  | { kind: 'word'; text: string }
  /** Stands anywhere in the text. */
  | { kind: 'part'; text: string }
  | { kind: 'expression'; text: string; caseless: boolean }
  | ({ kind: 'pair' } & Filter)
)

/** Words (all must occur), "phrases", /regular expressions/ (with i after it in any case), key=value, key!=value, and -term for what must not occur. */
export function termsOf(text: string): Term[] {
  const terms = [...text.matchAll(/(-?)(?:"([^"]*)"|\/((?:[^/\\]|\\.)+)\/(i?)|(\S+))/g)]
  return terms.flatMap(([, minus, phrase, expression, caseless, word]): Term[] => {
    const not = minus === '-'
    if (expression !== undefined) return [{ not, kind: 'expression', text: expression, caseless: caseless === 'i' }]
    if (phrase !== undefined) return phrase ? [{ not, kind: 'part', text: phrase }] : []
    const pair = /^([\w.:-]+?)(!?=)(.*)$/s.exec(word!)
    if (pair) return [{ not, kind: 'pair', field: pair[1] === 'service' ? 'service_name' : pair[1]!, op: pair[2] as '=' | '!=', value: pair[3]! }]
    return [{ not, kind: /^[\p{L}\p{N}_]+$/u.test(word!) ? 'word' : 'part', text: word! }]
  })
}
