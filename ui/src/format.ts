// How is a number said? Short, with its unit, always the same way.

/** Nanoseconds. */
export function duration(ns: number | null | undefined): string {
  if (ns === null || ns === undefined || !Number.isFinite(ns)) return '–'
  if (ns === 0) return '0'
  const size = Math.abs(ns)
  if (size < 1e3) return `${Math.round(ns)} ns`
  if (size < 1e6) return `${digits(ns / 1e3)} µs`
  if (size < 1e9) return `${digits(ns / 1e6)} ms`
  if (size < 60e9) return `${digits(ns / 1e9)} s`
  const seconds = Math.round(ns / 1e9)
  const parts = size < 3600e9 ? [[seconds / 60, 'm'], [seconds % 60, 's']] : size < 172_800e9 ? [[seconds / 3600, 'h'], [(seconds % 3600) / 60, 'm']] : [[seconds / 86_400, 'd'], [(seconds % 86_400) / 3600, 'h']]
  return parts.map(([value, unit]) => [Math.floor(Number(value)), unit] as const).filter(([value], index) => index === 0 || value > 0).map(([value, unit]) => `${value} ${unit}`).join(' ')
}

export const milliseconds = (ms: number | null | undefined) => duration(ms === null || ms === undefined ? ms : ms * 1e6)

/** Three significant digits. */
export function digits(value: number): string {
  const size = Math.abs(value)
  if (size >= 100 || value === 0) return String(Math.round(value))
  return size >= 10 ? value.toFixed(1).replace(/\.0$/, '') : size >= 1 ? value.toFixed(2).replace(/\.?0+$/, '') : value.toPrecision(2)
}

export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? '–' : Math.round(value).toLocaleString('en-US')
}

/** 1234567 -> 1.23M, for axes and tight cells. */
export function short(value: number): string {
  const size = Math.abs(value)
  if (size >= 1e9) return `${digits(value / 1e9)}G`
  if (size >= 1e6) return `${digits(value / 1e6)}M`
  if (size >= 1e4) return `${digits(value / 1e3)}k`
  return size >= 100 || Number.isInteger(value) ? String(Math.round(value)) : digits(value)
}

export function share(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–'
  const percent = value * 100
  if (percent === 0) return '0%'
  return percent < 0.01 ? '<0.01%' : percent >= 99.95 && percent < 100 ? '>99.9%' : `${digits(percent)}%`
}

export function rate(perSecond: number | null | undefined): string {
  if (perSecond === null || perSecond === undefined || !Number.isFinite(perSecond)) return '–'
  return perSecond > 0 && perSecond < 0.01 ? '<0.01/s' : `${short(perSecond)}/s`
}

export function bytes(value: number): string {
  if (value >= 1e9) return `${digits(value / 1e9)} GB`
  if (value >= 1e6) return `${digits(value / 1e6)} MB`
  return value >= 1e3 ? `${digits(value / 1e3)} kB` : `${value} B`
}

export const plural = (number: number, one: string, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`

/** Nanoseconds from `200ms`, `1.5s`, `2m`; null where it is none. A bare number is ms. */
export function parseDuration(text: string): number | null {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(ns|us|µs|ms|s|m|h)?\s*$/.exec(text)
  if (!match) return null
  const unit = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 }[match[2] ?? 'ms']
  return Number(match[1]) * (unit ?? 1e6)
}
