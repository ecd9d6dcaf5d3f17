// Dark or light? The system decides until someone switches; colours for canvases come from the same tokens as for CSS.
import { store } from './use'

export type Choice = 'system' | 'light' | 'dark'

const KEY = 'causeway.theme'
const system = window.matchMedia('(prefers-color-scheme: dark)')

function remembered(): Choice {
  const kept = localStorage.getItem(KEY)
  return kept === 'light' || kept === 'dark' ? kept : 'system'
}

function shown(choice: Choice): 'light' | 'dark' {
  return choice === 'system' ? (system.matches ? 'dark' : 'light') : choice
}

const theme = store({ choice: remembered(), shown: shown(remembered()) })
export const useTheme = theme.use

function apply(choice: Choice) {
  document.documentElement.dataset.theme = shown(choice)
  theme.set({ choice, shown: shown(choice) })
}

export function setTheme(choice: Choice) {
  if (choice === 'system') localStorage.removeItem(KEY)
  else localStorage.setItem(KEY, choice)
  apply(choice)
}

export function switchTheme() {
  setTheme(theme.get().shown === 'dark' ? 'light' : 'dark')
}

system.addEventListener('change', () => apply(theme.get().choice))
apply(remembered())

/** The value of a token such as `accent`. */
export function token(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim()
}
