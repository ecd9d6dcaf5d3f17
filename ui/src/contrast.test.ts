// Can everyone read it? The tokens of both themes against WCAG 2.2's contrast (1.4.3: 4.5 for text, 1.4.11: 3 for what is drawn).
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'

const css = readFileSync(new URL('./style.css', import.meta.url), 'utf8')

function tokens(selector: string): Record<string, string> {
  const block = css.slice(css.indexOf(`${selector} {`))
  return Object.fromEntries([...block.slice(0, block.indexOf('}')).matchAll(/--([\w-]+): (#[0-9a-f]{6})/g)].map((match) => [match[1]!, match[2]!]))
}

function luminance(color: string): number {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(color.slice(at, at + 2), 16) / 255
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!
}

function contrast(left: string, right: string): number {
  const [light, dark] = [luminance(left), luminance(right)].sort((a, b) => b - a)
  return (light! + 0.05) / (dark! + 0.05)
}

const TEXT: [string, string[]][] = [
  ['ink', ['ground', 'paper', 'sunken', 'hover', 'accent-soft', 'error-soft', 'warn-soft']],
  ['ink-2', ['ground', 'paper', 'sunken', 'hover', 'accent-soft']],
  ['ink-3', ['ground', 'paper', 'sunken', 'hover']],
  ['accent', ['ground', 'paper', 'hover']],
  ['accent-ink', ['accent']],
  ['error', ['paper', 'hover', 'error-soft']],
  ['warn', ['paper', 'hover', 'warn-soft']],
  ['ok', ['paper', 'hover', 'ok-soft']],
]
const DRAWN = ['accent', 'error', 'warn-mark', 'ok', 'bar', 'line-strong']

describe.each([['light', ':root'], ['dark', ":root[data-theme='dark']"]])('in the %s theme', (_name, selector) => {
  const theme = tokens(selector)
  test.each(TEXT.flatMap(([ink, grounds]) => grounds.map((ground) => [ink, ground] as const)))('%s is readable on %s', (ink, ground) => {
    expect(contrast(theme[ink]!, theme[ground]!)).toBeGreaterThanOrEqual(4.5)
  })
  test.each(DRAWN)('%s stands out where it is drawn', (color) => {
    expect(contrast(theme[color]!, theme.paper!)).toBeGreaterThanOrEqual(3)
  })
})
