// What does each screen look like? Pictures of all of them, dark and light, in three widths, to be looked at by a person.
// Usage: node tests/screenshots.mjs FOLDER [URL]; without a URL a program is started (CAUSEWAY names it) and filled.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { openBrowser } from './browser.mjs'
import { startFixture } from './fixture.mjs'
import { startProgram } from './program.mjs'
import { counted, sendChanges, sendShop } from './telemetry.mjs'

const SIZES = [['light', 1280, 800], ['dark', 1920, 1080], ['dark', 1280, 800], ['light', 800, 700]]

const [folder = 'screenshots', given] = process.argv.slice(2)
mkdirSync(folder, { recursive: true })

const end = Date.now()
const program = given ? null : await startProgram()
const fixture = program && (await startFixture(program.url, end - 8 * 60_000))
const url = given ?? fixture.url
if (program) {
  await pictures('empty', async (page, take) => {
    await page.goto(url)
    await take('empty')
  })
  await sendShop(program.url, { end, minutes: 40 })
  await sendChanges(program.url, end)
  // What is counted as it comes is a sample of a series some seconds later.
  await counted(program.url)
}
const answer = await fetch(`${url}/api/v1/sql`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ query: `SELECT hex(trace_id) AS trace, hex(span_id) AS span FROM spans WHERE status_code = 2 AND parent_span_id IS NOT NULL ORDER BY time DESC LIMIT 1` }),
}).then((reply) => reply.json())
const [trace, span] = answer.rows[0] ?? ['0'.repeat(32), '']
const screens = {
  home: '/',
  services: '/services',
  service: '/services?node=payment',
  errors: '/errors',
  traces: '/traces',
  trace: `/traces/${trace}?span=${span}`,
  request: `/traces/${trace}?view=list`,
  logs: '/logs',
  patterns: '/logs?view=patterns',
  live: '/logs?view=live',
  compare: `/compare?table=spans&selection=${encodeURIComponent('status_code = 2')}`,
  investigate: '/investigate',
  flags: '/flags',
  sql: `/sql?q=${encodeURIComponent('SELECT * FROM spans LIMIT 200')}`,
}
await pictures('filled', async (page, take) => {
  for (const [name, path] of Object.entries(screens)) {
    await page.goto(url + path)
    await take(name, { lasts: name === 'live' })
  }
  for (const [name, key] of Object.entries({ palette: 'Control+k', keys: '?', time: '.' })) {
    await page.goto(url)
    await page.waitForLoadState('networkidle')
    await page.keyboard.press(key)
    await take(name)
  }
})
await fixture?.stop()
await program?.stop()

/** Shows the screens in each size and theme; `take` waits until all was asked and answered. */
async function pictures(store, show) {
  for (const [theme, width, height] of SIZES) {
    const { browser, page, complaints } = await openBrowser({ theme, width, height })
    await show(page, async (name, { lasts = false } = {}) => {
      await page.getByText('Store ready').waitFor()
      // What is followed never ends: there its state tells that it was answered.
      if (lasts) await page.getByText('lines/s').waitFor()
      else await page.waitForLoadState('networkidle')
      await page.waitForFunction(() => !document.querySelector('.skeleton, .busy'))
      await page.screenshot({ path: join(folder, `${name}-${theme}-${width}.png`) })
    })
    for (const complaint of new Set(complaints)) console.log(`${store} store, ${theme}: ${complaint}`)
    await browser.close()
  }
}
