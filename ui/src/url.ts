// What is on screen? The URL says it all: this reads it, changes it and tells who watches.
import { useSyncExternalStore } from 'react'

export interface Place {
  path: string
  params: URLSearchParams
}

/** A value of null or '' takes the parameter away; a list repeats it. */
export type Patch = Record<string, string | string[] | null | undefined>

const watchers = new Set<() => void>()
let place = read()

function read(): Place {
  return { path: window.location.pathname, params: new URLSearchParams(window.location.search) }
}

function changed() {
  place = read()
  for (const watcher of watchers) watcher()
}

window.addEventListener('popstate', changed)

function watch(watcher: () => void) {
  watchers.add(watcher)
  return () => watchers.delete(watcher)
}

/** The place that is shown. */
export function usePlace(): Place {
  return useSyncExternalStore(watch, () => place)
}

function apply(params: URLSearchParams, patch: Patch) {
  for (const [name, value] of Object.entries(patch)) {
    params.delete(name)
    for (const item of Array.isArray(value) ? value : value ? [value] : []) params.append(name, item)
  }
}

/** The URL of another screen; the window of time goes along unless the patch sets one. */
export function urlTo(path: string, patch: Patch = {}): string {
  const params = new URLSearchParams()
  for (const name of ['from', 'to']) {
    const value = place.params.get(name)
    if (value) params.set(name, value)
  }
  apply(params, patch)
  const query = params.toString()
  return query ? `${path}?${query}` : path
}

/** Goes to a URL. */
export function go(url: string, { replace = false } = {}) {
  window.history[replace ? 'replaceState' : 'pushState'](null, '', url)
  changed()
}

/** Changes parameters of this screen. `replace` for what is typed: a letter is no place to go back to. */
export function setParams(patch: Patch, { replace = false } = {}) {
  const params = new URLSearchParams(place.params)
  apply(params, patch)
  const query = params.toString()
  go(query ? `${place.path}?${query}` : place.path, { replace })
}
