// How quick are the screens? Figures for docs/performance.md, from a program of its own and a real browser: `make bench-screens`.
import { readFileSync } from 'node:fs'
import { openBrowser } from './browser.mjs'
import { firstLoad } from './first-load.mjs'
import { startProgram } from './program.mjs'
import { sendLargeTrace, sendShop } from './telemetry.mjs'

const SPANS = 50_000
const MINUTES = 60
const PER_SECOND = 6
/** Each page anew, so that one slow moment of the machine doesn't make the figure. */
const RUNS = 7
/** Frames that are scrolled through, a screen's height each. */
const FRAMES = 120

const sorted = (values) => values.toSorted((left, right) => left - right)
const quantile = (values, share) => sorted(values)[Math.min(values.length - 1, Math.floor(values.length * share))]
const ms = (value) => `${value < 100 ? value.toFixed(1) : Math.round(value)} ms`

/**
 * From the start of the navigation until the words stand there and a frame was painted after; and what of it the page's own thread
 * computed, which a busy machine does not stretch.
 */
async function opened(page, url, words) {
  const devtools = await page.context().newCDPSession(page)
  await devtools.send('Performance.enable', { timeDomain: 'threadTicks' })
  const computed = async () => (await devtools.send('Performance.getMetrics')).metrics.find(({ name }) => name === 'TaskDuration').value * 1000
  const [times, own] = [[], []]
  for (let run = 0; run < RUNS; run += 1) {
    await page.goto(`${new URL(url).origin}/sql`)
    await page.getByText('Store ready').waitFor()
    const before = await computed()
    await page.goto(url, { waitUntil: 'commit' })
    await page.waitForFunction((words) => document.body?.innerText.includes(words), words)
    times.push(await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now()))))))
    own.push((await computed()) - before)
  }
  await devtools.detach()
  return [times, own]
}

/** The time of each frame while an element is scrolled from its beginning on. */
const scrolled = (page, selector) => page.evaluate(([selector, frames]) => new Promise((resolve) => {
  const element = document.querySelector(selector)
  const times = []
  let before = performance.now()
  const frame = (now) => {
    times.push(now - before)
    before = now
    if (times.length > frames) return resolve(times.slice(1))
    element.scrollTop += element.clientHeight
    requestAnimationFrame(frame)
  }
  requestAnimationFrame(frame)
}), [selector, FRAMES])

const program = await startProgram()
const { browser, page } = await openBrowser()
try {
  const end = Date.now()
  const trace = await sendLargeTrace(program.url, { end, spans: SPANS })
  await sendShop(program.url, { end, minutes: MINUTES, perSecond: PER_SECOND })
  const row = (name, times, own) => console.log(`| ${name} | ${ms(quantile(times, 0.5))} | ${ms(quantile(times, 0.95))} | ${own ? ms(quantile(own, 0.5)) : ''} |`)
  const { bytes } = firstLoad((...path) => readFileSync(new URL(['../dist', ...path].join('/'), import.meta.url)))
  console.log(`first load: ${bytes} bytes compressed\n\n| | median | 95th percentile | the page's own computing, median |\n|---|---:|---:|---:|`)
  row(`open a trace of ${SPANS} spans, ${RUNS} times`, ...await opened(page, `${program.url}/traces/${trace}`, `${SPANS.toLocaleString('en-US')} spans`))
  row('scroll it, each frame', await scrolled(page, '.waterfall .scroller'))
  row(`open Home, ${MINUTES} minutes of a shop, ${RUNS} times`, ...await opened(page, `${program.url}/`, 'worst first'))
  row(`open Logs, ${RUNS} times`, ...await opened(page, `${program.url}/logs`, 'older ones follow below'))
  row('scroll them, each frame', await scrolled(page, '.lines'))
} finally {
  await browser.close()
  await program.stop()
}
