// Does what is built keep its promises? Small enough for a slow line, nothing inline, nobody else's host, no way from text to markup.
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (...path) => readFileSync(join(root, ...path), 'utf8')
const size = (name) => readFileSync(join(root, 'dist', `${name}.gz`)).length

/** Bytes, compressed, of the page with all that it loads before it shows something. */
const FIRST_LOAD_BYTES_MAX = 400_000

test('the first load stays small', () => {
  const manifest = JSON.parse(read('dist', 'manifest.json'))
  const files = new Set(['index.html'])
  const add = (name) => {
    const chunk = manifest[name]
    if (files.has(chunk.file)) return
    for (const file of [chunk.file, ...(chunk.css ?? []), ...(chunk.assets ?? [])]) files.add(file)
    for (const imported of chunk.imports ?? []) add(imported)
  }
  add('index.html')
  const bytes = [...files].reduce((sum, file) => sum + size(file), 0)
  assert.ok(files.size >= 3, `too few files to be the page: ${[...files]}`)
  assert.ok(bytes < FIRST_LOAD_BYTES_MAX, `${bytes} bytes: ${[...files]}`)
})

test('the editor is not part of it', () => {
  const manifest = JSON.parse(read('dist', 'manifest.json'))
  assert.ok(!(manifest['index.html'].imports ?? []).some((name) => /codemirror|Sql/.test(name)))
  assert.ok(manifest['src/screens/Sql.tsx'].isDynamicEntry)
})

test('the page has nothing inline and names no other host', () => {
  const page = read('dist', 'index.html')
  assert.ok(!/<script(?![^>]*\ssrc=)/.test(page), 'a script without src')
  assert.ok(!/<style|\sstyle=|\son\w+=/.test(page), 'a style or a handler inside the page')
  assert.ok(!/https?:\/\//.test(page), 'another host')
})

test('no source makes markup or code of text', () => {
  const sources = readdirSync(join(root, 'src'), { recursive: true }).filter((name) => /\.tsx?$/.test(name))
  assert.ok(sources.length > 20)
  const wrong = sources.filter((name) => /dangerouslySetInnerHTML|\.innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function\(/.test(read('src', name)))
  assert.deepEqual(wrong, [])
})
