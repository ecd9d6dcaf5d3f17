// Do the screens work in a real browser, against the real program? Only the loop and the flags are answered by a fixture.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { openBrowser } from './browser.mjs'
import { startFixture } from './fixture.mjs'
import { startProgram } from './program.mjs'
import { sendChanges, sendLargeTrace, sendShop } from './telemetry.mjs'

const END = Date.now()
const MINUTES = 40
const WINDOW = `from=now-${MINUTES + 5}m`

describe('screens', () => {
  let program, fixture, browser, page, complaints, large

  before(async () => {
    program = await startProgram()
    fixture = await startFixture(program.url, END - 8 * 60_000)
    ;({ browser, page, complaints } = await openBrowser())
  })
  after(async () => {
    await browser?.close()
    await fixture?.stop()
    await program?.stop()
  })
  const open = (path) => page.goto(fixture.url + path)

  test('an empty store says how to send, and tells when something arrives', async () => {
    await open('/')
    await page.getByText('Nothing has arrived yet.').waitFor()
    await page.getByText('OTEL_EXPORTER_OTLP_ENDPOINT').first().waitFor()
    await sendShop(program.url, { end: END, minutes: MINUTES })
    await sendChanges(program.url, END)
    await page.getByText('It arrives:').waitFor()
    await page.getByRole('button', { name: 'Look at it' }).click()
    await page.getByRole('heading', { name: 'What is wrong' }).waitFor()
  })

  test('from what is wrong to the cause and the verified fix', async () => {
    await open(`/?${WINDOW}`)
    await page.getByRole('link', { name: 'Investigate' }).nth(1).click()
    await page.getByText('flag fraud-fallback: on → off').first().waitFor()
    const url = new URL(page.url())
    assert.equal(url.pathname, '/investigate')
    assert.ok(url.searchParams.get('service') && url.searchParams.get('signal'))
    await page.getByText(/give or take 20 s/).waitFor()
    await page.getByText('POST fraud-score').first().waitFor()
    await page.getByRole('button', { name: 'Set fraud-fallback to on' }).click()
    await page.getByRole('button', { name: 'Set fraud-fallback to on now' }).click()
    await page.getByText('Fixed', { exact: true }).waitFor()
    assert.ok(new URL(page.url()).searchParams.get('mitigated'), 'the URL is the whole state')
    await page.reload()
    await page.getByText('Fixed', { exact: true }).waitFor()
    await open('/flags?flag=fraud-fallback')
    await page.getByText('defaultVariant off → on').waitFor()
  })

  test('durations are dragged over, compared and listed', async () => {
    await open(`/traces?${WINDOW}&service=checkout`)
    const map = page.getByRole('img', { name: /Durations over time/ })
    await page.getByText(/\d+ requests · drag to select/).waitFor()
    const { x, y, width, height } = await map.boundingBox()
    await page.mouse.move(x + width * 0.5, y + 4)
    await page.mouse.down()
    await page.mouse.move(x + width - 8, y + height * 0.5, { steps: 4 })
    await page.mouse.up()
    await page.getByText(/requests selected/).waitFor()
    await page.getByRole('heading', { name: 'Traces of the selection' }).waitFor()
    await page.getByRole('button', { name: /Compare with the other [\d,]+/ }).click()
    await page.getByText('feature_flag.result.variant').first().waitFor()
    const asked = new URL(page.url()).searchParams
    assert.match(asked.get('selection'), /duration_ns >= \d+/)
    assert.match(asked.get('baseline'), /NOT \(/)
    await page.getByRole('button', { name: 'Narrow' }).first().click()
    await page.getByText('Selection narrowed to').waitFor()
  })

  test('the same is chosen by keyboard, on the map and on the bars of logs', async () => {
    await open(`/traces?${WINDOW}&service=checkout`)
    await page.getByText(/\d+ requests · drag to select/).waitFor()
    await page.getByRole('group', { name: /^Map of durations/ }).focus()
    for (const key of ['End', 'Home', 'PageDown', 'PageDown', 'Shift+End', 'Shift+PageUp', 'Shift+PageUp', 'Shift+PageUp']) await page.keyboard.press(key)
    await page.getByText(/: [\d,]+, \d+ failed\. Enter selects\./).waitFor({ state: 'attached' })
    await page.keyboard.press('Enter')
    await page.getByText(/requests selected/).waitFor()
    const [start, end, low, high] = new URL(page.url()).searchParams.get('sel').split(',').map(Number)
    assert.ok(start < end && low < high)
    await page.keyboard.press('Escape')
    await page.getByText(/drag to select/).waitFor()
    assert.equal(new URL(page.url()).searchParams.get('sel'), null)
    await open(`/logs?${WINDOW}`)
    await page.getByRole('heading', { name: /^[1-9][\d,]* logs$/ }).waitFor()
    await page.getByRole('group', { name: /^Chart/ }).focus()
    for (const key of ['ArrowLeft', 'ArrowLeft', 'Shift+ArrowLeft', 'Shift+ArrowLeft', 'Enter']) await page.keyboard.press(key)
    await page.getByRole('button', { name: /^Compare [\d,]+ with the other [\d,]+/ }).waitFor()
  })

  test('changes are marked on every chart, said when focused or pointed at, and lead to a comparison', async () => {
    const charts = [['/', '.spark'], ['/traces', '.map'], ['/logs', '.chart'], ['/investigate', '.charts .chart:first-child'], ['/investigate', '.charts .chart:nth-child(2)']]
    for (const [path, chart] of charts) {
      await open(`${path}?${WINDOW}`)
      const mark = page.locator(`${chart} .mark`).first()
      await mark.waitFor({ state: 'attached' })
      if (chart === '.spark') await mark.hover()
      else await mark.focus()
      await page.locator('.tip.fixed').getByText(/deploy checkout: 2\.3\.0 → 2\.4\.0/).waitFor()
    }
    await page.keyboard.press('ArrowRight')
    await page.locator('.tip.fixed').getByText(/config payment/).waitFor()
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'What sets them apart' }).waitFor()
    const { searchParams } = new URL(page.url())
    assert.equal(searchParams.get('from'), searchParams.get('baseline_to'))
  })

  test('a comparison opens from a service, a list with conditions, and a stretch of logs, and is the real one', async () => {
    await page.goto(`${program.url}/?${WINDOW}`)
    await page.getByRole('row').filter({ hasText: 'payment' }).getByRole('link', { name: 'Compare', exact: true }).click()
    await page.getByText('feature_flag.result.variant').first().waitFor()
    await page.goto(`${program.url}/traces?${WINDOW}&service=payment&min=1500ms`)
    await page.getByRole('button', { name: 'Compare with the others' }).click()
    await page.getByText('feature_flag.result.variant').first().waitFor()
    await page.goto(`${program.url}/logs?${WINDOW}&q=attempt`)
    await page.getByRole('button', { name: 'Compare with the others' }).click()
    await page.getByText('fraud.timeout').first().waitFor()
    await page.goto(`${program.url}/logs?${WINDOW}`)
    // The chart is drawn anew when its data come, and when its marks do.
    await page.getByRole('heading', { name: /^[1-9][\d,]* logs$/ }).waitFor()
    await page.locator('.chart .mark').first().waitFor({ state: 'attached' })
    const { x, y, width, height } = await page.getByRole('img', { name: /^Logs over time/ }).boundingBox()
    await page.mouse.move(x + width * 0.8, y + height / 2)
    await page.mouse.down()
    await page.mouse.move(x + width * 0.95, y + height / 2, { steps: 4 })
    await page.mouse.up()
    await page.getByRole('button', { name: /^Compare [\d,]+ with the other [\d,]+/ }).click()
    await page.getByText('fraud.timeout').first().waitFor()
    assert.match(new URL(page.url()).searchParams.get('baseline'), /NOT \(time >= /)
  })

  test('a trace of 50,000 spans opens, and a span shows its details by keyboard alone', async () => {
    large = await sendLargeTrace(program.url, { end: END, spans: 50_000 })
    await open(`/traces/${large}`)
    await page.getByText('50,000 spans').waitFor()
    const spans = page.getByRole('group', { name: /^Spans/ })
    await spans.focus()
    await page.keyboard.press('End')
    await page.getByRole('complementary', { name: 'Span' }).getByText('INSERT row').first().waitFor()
    await page.keyboard.press('Home')
    await page.getByRole('complementary', { name: 'Span' }).getByText('nightly import').first().waitFor()
    await page.getByRole('button', { name: /origins, first/ }).click()
    await page.getByText(/the error began here: duplicate key/).waitFor()
  })

  test('what is open, closed, zoomed and selected is in the URL: a reload shows the same', async () => {
    await open(`/traces/${large}`)
    const spans = page.getByRole('group', { name: /^Spans/ })
    const rows = () => spans.locator('div').first().evaluate((inner) => inner.clientHeight)
    await page.getByText('50,000 spans').waitFor()
    const whole = await rows()
    await spans.press('Home')
    await spans.press('ArrowDown')
    await spans.press('ArrowLeft')
    const folded = await rows()
    assert.ok(folded < whole, `${folded} of ${whole}`)
    const ruler = await page.getByRole('img', { name: 'Scale of time' }).boundingBox()
    await page.mouse.move(ruler.x + ruler.width * 0.6, ruler.y + 20)
    await page.mouse.down()
    await page.mouse.move(ruler.x + ruler.width * 0.8, ruler.y + 20, { steps: 3 })
    await page.mouse.up()
    await page.waitForURL(({ searchParams }) => ['span', 'closed', 'zoom'].every((name) => searchParams.get(name)))
    await page.reload()
    await page.getByRole('complementary', { name: 'Span' }).getByText('chunk 0').first().waitFor()
    assert.equal(await rows(), folded)
    await open(`/logs?${WINDOW}`)
    const lines = page.getByRole('list', { name: /Logs, newest first/ })
    await lines.getByRole('button').first().click()
    await lines.locator('.kv').first().waitFor()
    const fields = page.getByRole('complementary', { name: 'Fields' })
    await fields.locator('summary').filter({ hasText: 'event' }).first().click()
    await fields.getByRole('button', { name: 'order.placed' }).waitFor()
    await page.reload()
    await lines.locator('.kv').first().waitFor()
    await fields.getByRole('button', { name: 'order.placed' }).waitFor()
  })

  test('logs are searched, filtered by a click, opened, and lead to their request', async () => {
    await open(`/logs?${WINDOW}`)
    await page.keyboard.press('/')
    await page.keyboard.type('attempt')
    await page.keyboard.press('Enter')
    const lines = page.getByRole('list', { name: /Logs, newest first/ })
    await lines.getByText('attempt').first().waitFor()
    const fields = page.getByRole('complementary', { name: 'Fields' })
    await fields.getByRole('button', { name: 'WARN', exact: true }).click()
    await page.getByText('severity = WARN').waitFor()
    await lines.getByRole('button').first().click()
    await page.getByText('fraud.timeout').first().waitFor()
    await page.getByRole('link', { name: /This request: \d+ logs?, \d+ spans/ }).click()
    const order = page.getByRole('list', { name: 'Spans and logs in order of time' })
    await order.getByText(/fraud score timed out/).first().waitFor()
    await order.getByText('POST /orders').first().waitFor()
  })

  test('keys, the palette and the window of time', async () => {
    await open(`/?${WINDOW}`)
    await page.getByRole('heading', { name: 'Services' }).waitFor()
    await page.keyboard.press('?')
    await page.getByRole('heading', { name: 'Keys' }).waitFor()
    await page.keyboard.press('Escape')
    await page.keyboard.press('Control+k')
    await page.getByRole('combobox').fill('SELECT 40 + 2 AS answer')
    await page.keyboard.press('Enter')
    await page.getByRole('cell', { name: '42' }).waitFor()
    await page.keyboard.press('Control+k')
    await page.getByRole('combobox').fill('payment logs')
    await page.getByRole('option', { name: 'Logs of payment' }).click()
    await page.getByText('service = payment').waitFor()
    await page.getByRole('button', { name: /Last 45 minutes/ }).click()
    await page.getByRole('button', { name: 'Last 15 minutes' }).click()
    assert.equal(new URL(page.url()).searchParams.get('from'), 'now-15m')
    await page.goBack()
    await page.getByRole('button', { name: /Last 45 minutes/ }).waitFor()
  })

  test('every screen stands in both themes and small windows without a complaint', async () => {
    for (const scheme of ['dark', 'light']) {
      await page.emulateMedia({ colorScheme: scheme })
      await page.setViewportSize(scheme === 'dark' ? { width: 900, height: 700 } : { width: 1440, height: 900 })
      for (const path of ['/', '/traces', `/traces/${large}`, '/logs', '/compare', '/investigate', '/flags', '/sql']) {
        await open(`${path}?${WINDOW}`)
        await page.getByText('Store ready').waitFor()
        assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), scheme)
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)
        assert.ok(overflow <= 0, `${path} is ${overflow} pixels too wide`)
      }
    }
    assert.deepEqual(complaints, [])
  })
})
