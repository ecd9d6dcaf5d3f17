// Does a newcomer get from "checkout is slow" to the cause and the verified fix? A real browser, the real program, a real incident.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { openBrowser } from './browser.mjs'
import { startDemo } from './demo.mjs'

const SCENARIO = 'checkout-slow'
/** As `make demo` shows it. */
const SPEED = 1
/** From the moment it breaks until it stands out: some requests have to end, and Home asks every ten seconds. */
const STANDS_OUT_MS = 90_000
/** The requests that began before the fix have to end, and enough to follow. */
const FIXED_MS = 240_000
/** From what is on screen to the next step; the loop promises 10 s, and a busy machine gets some more. */
const STEP_MS = 60_000
/** A demo that says nothing more must not hold the tests up for ever. */
const WHOLE_MS = 900_000
const CLICKS_MAX = 4
/** Requests since the onset before something is done: some twenty seconds of them. */
const REQUESTS_MIN = 50

/** What the shop calls what the truth speaks of. */
const NAMES = { flag: 'payment-fraud-fallback', fraud: 'fraudscore' }
const truth = JSON.parse(readFileSync(new URL(`../../crates/shop/scenarios/${SCENARIO}.truth.json`, import.meta.url), 'utf8'), (_key, value) =>
  typeof value === 'string' ? value.replace(/\{(\w+)\}/g, (whole, name) => NAMES[name] ?? whole) : value)

describe('the walk', () => {
  let demo, browser, page, complaints

  before(async () => {
    demo = await startDemo({ scenario: SCENARIO, speed: SPEED })
    ;({ browser, page, complaints } = await openBrowser())
  })
  after(async () => {
    await browser?.close()
    await demo?.stop()
  })

  test(`from Home to the cause in at most ${CLICKS_MAX} clicks, the switch, and the verdict`, { timeout: WHOLE_MS }, async () => {
    let clicks = 0
    const click = async (locator) => {
      await locator.click()
      clicks += 1
    }
    const panel = (name) => page.locator('section.panel').filter({ has: page.getByRole('heading', { name, exact: true }) })

    await page.goto(demo.url)
    // Not before it has begun: a machine that is busy for a moment slows the shop too, and Home says so rightly.
    await demo.heard('Find out: http')
    const wrong = panel('What is wrong').getByRole('listitem').filter({ hasText: 'latency' }).filter({ hasText: /web|checkout|payment/ }).first()
    await wrong.waitFor({ timeout: STANDS_OUT_MS })

    await click(wrong.getByRole('link', { name: 'Investigate' }))
    const { searchParams } = new URL(page.url())
    assert.ok(searchParams.get('service') && searchParams.get('signal'), 'the symptom stands in the URL')
    // The first verdict that names a cause must name a true one: there is no waiting for a better.
    const first = panel('Suspects').filter({ hasText: 'cause found' }).locator('article.suspect').first()
    await first.waitFor({ timeout: STEP_MS })
    const [kind, title] = await first.evaluate((article) => [article.querySelector('.tag').textContent, article.querySelector('.title').textContent])
    assert.ok(truth.causes.some((cause) => cause.kind === kind && title.includes(cause.entity)), `the first suspect is no cause: ${kind} ${title}`)
    const { y, height } = await first.locator('.title').boundingBox()
    assert.ok(y >= 0 && y + height <= page.viewportSize().height, 'on screen without scrolling')
    assert.ok(clicks <= CLICKS_MAX, `${clicks} clicks`)

    // Nobody acts on a handful of requests, and no verdict could be built on them: as the page says itself how many it knows of.
    await page.waitForFunction((least) => {
      const known = /Since: ([\d,]+) request/.exec(document.querySelector('.numbers')?.title ?? '')
      return known !== null && Number(known[1].replaceAll(',', '')) >= least
    }, REQUESTS_MIN, { timeout: STANDS_OUT_MS, polling: 250 })

    // The flag is one of the two causes: the first, or the one through which the slow dependency could do harm.
    const { flag, variant } = truth.mitigation
    const set = panel('Suspects').getByRole('button', { name: `Set ${flag} to ${variant}`, exact: true })
    await click(set.first())
    await click(panel('Suspects').getByRole('button', { name: `Set ${flag} to ${variant} now`, exact: true }))
    await panel('Did it help?').getByText('Fixed', { exact: true }).waitFor({ timeout: FIXED_MS }).catch(async (error) => {
      throw new Error(`not fixed, but: ${await page.locator('#main').innerText()}`, { cause: error })
    })
    await page.reload()
    await panel('Did it help?').getByText('Fixed', { exact: true }).waitFor({ timeout: STEP_MS })

    await page.goto(`${demo.url}/flags?flag=${flag}`)
    await page.getByText(`defaultVariant off → ${variant}`).waitFor({ timeout: STEP_MS })
    assert.deepEqual(complaints, [])
  })

  test('the same shop by its map, its errors and its lines as they come', { timeout: WHOLE_MS }, async () => {
    await page.goto(`${demo.url}/services`)
    await page.getByRole('button', { name: /^checkout calls payment: / }).click({ timeout: STEP_MS })
    await page.getByRole('complementary', { name: 'Call' }).getByRole('link', { name: 'payment', exact: true }).click()
    const side = page.getByRole('complementary', { name: 'Service' })
    await side.getByRole('heading', { name: 'Operations' }).waitFor({ timeout: STEP_MS })
    await side.getByRole('link', { name: /^Traces of [\d,]+ requests/ }).click()
    await page.getByText(/\d+ requests · drag to select/).waitFor({ timeout: STEP_MS })
    await page.goto(`${demo.url}/errors`)
    await page.getByRole('link', { name: /^Trace 1 of / }).first().click({ timeout: STEP_MS })
    await page.getByRole('group', { name: /^Spans/ }).waitFor({ timeout: STEP_MS })
    await page.goto(`${demo.url}/logs?view=live`)
    await page.getByText(/^[1-9][\d.]* lines\/s$/).waitFor({ timeout: STEP_MS })
    assert.deepEqual(complaints, [])
  })
})
