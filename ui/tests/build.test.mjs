// Does what is built keep its promises? Small enough for a slow line, nothing inline, nobody else's host, no way from text to markup.
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { firstLoad } from './first-load.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (...path) => readFileSync(join(root, ...path), 'utf8')

/** Bytes, compressed, of the page with all that it loads before it shows something. */
const FIRST_LOAD_BYTES_MAX = 400_000

test('the first load stays small', () => {
  const { files, bytes } = firstLoad((...path) => readFileSync(join(root, 'dist', ...path)))
  assert.ok(files.length >= 3, `too few files to be the page: ${files}`)
  assert.ok(bytes < FIRST_LOAD_BYTES_MAX, `${bytes} bytes: ${files}`)
})

test('the editor and the map are not part of it', () => {
  const manifest = JSON.parse(read('dist', 'manifest.json'))
  assert.ok(!(manifest['index.html'].imports ?? []).some((name) => /codemirror|Sql|Services/.test(name)))
  for (const screen of ['Sql', 'Services']) assert.ok(manifest[`src/screens/${screen}.tsx`].isDynamicEntry)
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
