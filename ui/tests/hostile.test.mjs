// Does anything that strangers write act on the page? A store in which every field of every record is a script, on every screen,
// answered by the real program alone.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { openBrowser } from './browser.mjs'
import { startProgram } from './program.mjs'
import { HOSTILE, counted, defineHostileFlag, sendHostile, sendLines } from './telemetry.mjs'

const END = Date.now()
const WINDOW = 'from=now-25m'
/** The part of it that looks the same wherever it stands, also inside JSON. */
const VISIBLE = HOSTILE.slice(0, HOSTILE.indexOf('"'))

describe('hostile records', () => {
  let program, browser, page, complaints, trace

  before(async () => {
    program = await startProgram()
    trace = await sendHostile(program.url, END)
    await defineHostileFlag(program.url)
    ;({ browser, page, complaints } = await openBrowser())
  })
  after(async () => {
    await browser?.close()
    await program?.stop()
  })
  const open = (path) => page.goto(program.url + path)
  const shows = (where) => where.getByText(VISIBLE).locator('visible=true').first().waitFor()
  const panel = (name) => page.locator('section.panel').filter({ has: page.getByRole('heading', { name, exact: true }) })
  /** Nothing ran, nothing became an element. */
  const unhurt = async () => {
    assert.equal(await page.evaluate(() => window.hurt), undefined)
    assert.equal(await page.locator('img[src="x"], #root script, #root style, #root iframe').count(), 0)
  }
  const service = encodeURIComponent(HOSTILE)

  test('Home: what is wrong, the services, the changes and their marks', async () => {
    await open(`/?${WINDOW}`)
    for (const name of ['What is wrong', 'Services', 'What changed']) await shows(panel(name))
    await page.locator('.spark .mark').first().hover()
    await shows(page.locator('.tip.fixed'))
    await unhurt()
  })

  test('Traces and a trace: the map, the list, a span with events, links, scope and resource, the order', async () => {
    await open(`/traces?${WINDOW}&service=${service}`)
    await shows(panel('Traces'))
    await page.locator('.map .mark').first().focus()
    await shows(page.locator('.tip.fixed'))
    await open(`/traces/${trace}`)
    await page.getByRole('group', { name: /^Spans/ }).press('Home')
    const details = page.getByRole('complementary', { name: 'Span' })
    for (const title of ['2 events', '1 link', '1 log', 'Resource']) await shows(details.locator('section').filter({ has: page.getByRole('heading', { name: title }) }))
    await shows(details.locator('dl').last())
    await open(`/traces/${trace}?view=list`)
    await shows(page.getByRole('list', { name: 'Spans and logs in order of time' }))
    await unhurt()
  })

  test('Logs: a line, its fields, the fields of all', async () => {
    await open(`/logs?${WINDOW}&service=${service}`)
    const lines = page.getByRole('list', { name: /Logs, newest first/ })
    await shows(lines)
    await lines.getByRole('button').first().click()
    await shows(lines.locator('.kv').first())
    await page.getByRole('complementary', { name: 'Fields' }).locator('summary').filter({ hasText: VISIBLE }).first().click()
    await shows(page.getByRole('complementary', { name: 'Fields' }).locator('.value'))
    await lines.locator('.kv').first().getByRole('button', { name: '=' }).first().click()
    await shows(page.getByRole('list', { name: 'Conditions' }))
    await unhurt()
  })

  test('Services and Errors: nodes, calls, versions, operations, groups and their queries', { timeout: 180_000 }, async () => {
    await counted(program.url)
    await open(`/services?${WINDOW}&node=${service}`)
    await shows(page.locator('.service-map'))
    for (const name of ['Services', 'Calls']) await shows(panel(name))
    for (const name of ['Operations', 'Errors']) await shows(page.getByRole('complementary', { name: 'Service' }).locator('section').filter({ has: page.getByRole('heading', { name }) }))
    await page.locator('.service-map .call').first().click()
    await shows(page.getByRole('complementary', { name: 'Call' }))
    await open(`/errors?${WINDOW}`)
    const group = page.getByRole('button', { name: VISIBLE })
    await group.first().click()
    await shows(page.getByRole('table'))
    await unhurt()
  })

  test('Patterns and lines as they come', async () => {
    await open(`/logs?${WINDOW}&view=patterns`)
    await shows(page.getByRole('table'))
    await open(`/logs?${WINDOW}&view=live&service=${service}&q=${encodeURIComponent(`"${VISIBLE}"`)}`)
    await page.getByText('lines/s').waitFor()
    await sendLines(program.url, HOSTILE, [HOSTILE])
    await shows(page.getByRole('list', { name: /Logs, newest first/ }))
    await unhurt()
  })

  test('Compare and Investigate: findings, suspects, steps, the way to undo', async () => {
    await open(`/compare?${WINDOW}&table=spans&selection=${encodeURIComponent('duration_ns > 1000000000')}`)
    await shows(panel('What sets them apart'))
    await open(`/investigate?${WINDOW}&service=${service}&signal=latency`)
    for (const name of ['Suspects', 'Where', 'What changed']) await shows(panel(name))
    await page.locator('.chart .mark').first().focus()
    await shows(page.locator('.tip.fixed'))
    await unhurt()
  })

  test('Flags: key, description, variants, targeting, who and why', async () => {
    await open(`/flags?flag=${service}`)
    await shows(page.getByRole('table'))
    await shows(page.locator('.code'))
    await shows(page.getByRole('list').filter({ hasText: 'off' }))
    await unhurt()
  })

  test('SQL and the palette', async () => {
    await open(`/sql?q=${encodeURIComponent('SELECT * FROM changes')}`)
    await shows(page.getByRole('table'))
    await page.keyboard.press('Control+k')
    await shows(page.getByRole('dialog'))
    await unhurt()
  })

  test('the policy had nothing to stop', () => assert.deepEqual(complaints, []))
})
