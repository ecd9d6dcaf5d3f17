// What does a browser load before it shows something? The page, and what it names, as the manifest of the build has it.

/** Names and compressed bytes, read with `read(...path)` below dist/. */
export function firstLoad(read) {
  const manifest = JSON.parse(read('manifest.json').toString())
  const files = new Set(['index.html'])
  const add = (name) => {
    const chunk = manifest[name]
    if (files.has(chunk.file)) return
    for (const file of [chunk.file, ...(chunk.css ?? []), ...(chunk.assets ?? [])]) files.add(file)
    for (const imported of chunk.imports ?? []) add(imported)
  }
  add('index.html')
  const bytes = [...files].reduce((sum, file) => sum + read(`${file}.gz`).length, 0)
  return { files: [...files], bytes }
}
