// Does a newcomer get from "checkout is slow" to the cause and the verified fix? A real browser, the real program, a real incident.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { openBrowser } from './browser.mjs'
import { startDemo } from './demo.mjs'

const SCENARIO = 'checkout-slow'
/** As `make demo` shows it: it breaks after 50 s. */
const SPEED = 1
/** The incident has to begin, and to last until it stands out. */
const BREAKS_MS = 180_000
/** The requests that began before the fix have to end, and enough to follow. */
const FIXED_MS = 240_000
/** From what is on screen to the next step; the loop promises 10 s, and a busy machine gets some more. */
const STEP_MS = 60_000
const CLICKS_MAX = 4

/** What the shop calls what the truth speaks of. */
const NAMES = { flag: 'payment-fraud-fallback', fraud_host: 'api.fraudscore.example' }
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

  test(`from Home to the cause in at most ${CLICKS_MAX} clicks, the switch, and the verdict`, async () => {
    let clicks = 0
    const click = async (locator) => {
      await locator.click()
      clicks += 1
    }
    const panel = (name) => page.locator('section.panel').filter({ has: page.getByRole('heading', { name, exact: true }) })

    await page.goto(demo.url)
    const wrong = panel('What is wrong').getByRole('listitem').filter({ hasText: 'latency' }).first()
    await wrong.waitFor({ timeout: BREAKS_MS })
    assert.match(await wrong.innerText(), /web|checkout|payment/)
    assert.match(demo.said(), /Find out: http/, 'the demo said so too')

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

    // The flag is one of the two causes: the first, or the one through which the slow dependency could do harm.
    const { flag, variant } = truth.mitigation
    const set = panel('Suspects').getByRole('button', { name: `Set ${flag} to ${variant}`, exact: true })
    await click(set.first())
    await click(panel('Suspects').getByRole('button', { name: `Set ${flag} to ${variant} now`, exact: true }))
    await panel('Did it help?').getByText('Fixed', { exact: true }).waitFor({ timeout: FIXED_MS })
    await page.reload()
    await panel('Did it help?').getByText('Fixed', { exact: true }).waitFor({ timeout: STEP_MS })

    await page.goto(`${demo.url}/flags?flag=${flag}`)
    await page.getByText(`defaultVariant off → ${variant}`).waitFor({ timeout: STEP_MS })
    assert.deepEqual(complaints, [])
  })
})
