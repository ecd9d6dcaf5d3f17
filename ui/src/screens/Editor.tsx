// How is a statement typed? CodeMirror, in a shadow root: there its styles are adopted sheets, which the policy allows.
import { autocompletion, closeBrackets, completionKeymap } from '@codemirror/autocomplete'
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands'
import { PostgreSQL, sql } from '@codemirror/lang-sql'
import { HighlightStyle, bracketMatching, syntaxHighlighting } from '@codemirror/language'
import { EditorState } from '@codemirror/state'
import { EditorView, keymap, placeholder } from '@codemirror/view'
import { tags } from '@lezer/highlight'
import { useEffect, useRef } from 'react'

interface EditorProps {
  text: string
  change: (text: string) => void
  run: () => void
  /** Columns by table, for completion. */
  schema: Record<string, string[]>
}

const colors = HighlightStyle.define([
  { tag: tags.keyword, color: 'var(--accent)', fontWeight: '600' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--ok)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'var(--warn)' },
  { tag: tags.comment, color: 'var(--ink-3)' },
])

const look = EditorView.theme({
  '&': { fontSize: '13px', color: 'var(--ink)', backgroundColor: 'transparent' },
  '&.cm-focused': { outline: 'none' },
  '.cm-content': { fontFamily: 'var(--mono)', caretColor: 'var(--ink)', padding: '8px 4px' },
  '.cm-cursor': { borderLeftColor: 'var(--ink)' },
  '&.cm-focused .cm-selectionBackground, .cm-selectionBackground': { backgroundColor: 'var(--accent-soft) !important' },
  '.cm-placeholder': { color: 'var(--ink-3)' },
  '.cm-tooltip': { backgroundColor: 'var(--paper)', border: '1px solid var(--line)', color: 'var(--ink)' },
  '.cm-tooltip-autocomplete > ul > li[aria-selected]': { backgroundColor: 'var(--accent-soft)', color: 'var(--ink)' },
  '.cm-matchingBracket': { backgroundColor: 'var(--accent-soft) !important' },
})

export function Editor({ text, change, run, schema }: EditorProps) {
  const host = useRef<HTMLDivElement>(null)
  const view = useRef<EditorView | null>(null)
  const latest = useRef({ change, run })
  latest.current = { change, run }
  const known = JSON.stringify(schema)
  useEffect(() => {
    if (!host.current) return
    const root = host.current.shadowRoot ?? host.current.attachShadow({ mode: 'open' })
    const runKey = { key: 'Mod-Enter', preventDefault: true, run: () => { latest.current.run(); return true } }
    const editor = new EditorView({
      root,
      parent: root,
      state: EditorState.create({
        doc: text,
        extensions: [
          keymap.of([runKey, ...completionKeymap, ...historyKeymap, ...defaultKeymap]),
          history(), bracketMatching(), closeBrackets(), autocompletion(),
          sql({ dialect: PostgreSQL, schema, upperCaseKeywords: true }),
          syntaxHighlighting(colors), look, EditorView.lineWrapping,
          placeholder('SELECT service_name, count(*) FROM spans GROUP BY 1'),
          EditorView.contentAttributes.of({ 'aria-label': 'SQL statement' }),
          EditorView.updateListener.of((update) => update.docChanged && latest.current.change(update.state.doc.toString())),
        ],
      }),
    })
    view.current = editor
    return () => editor.destroy()
  }, [known])
  useEffect(() => {
    const editor = view.current
    if (editor && editor.state.doc.toString() !== text) editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: text } })
  }, [text])
  return <div className="editor" ref={host} />
}
