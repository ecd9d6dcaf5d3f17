// How is a real browser driven? Debian's chromium with a fresh profile; everything that the page complains about is kept.
import { chromium } from 'playwright-core'

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

/** Opens a browser whose pages report errors, violations of the policy and requests to other hosts into `complaints`. */
export async function openBrowser({ theme = 'light', width = 1440, height = 900 } = {}) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true, args: FLAGS })
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme })
  const page = await context.newPage()
  const complaints = []
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`))
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(`${message.type()}: ${message.text()} ${message.location().url}`))
  page.on('request', (request) => { if (!new URL(request.url()).host.startsWith('127.0.0.1')) complaints.push(`request to ${request.url()}`) })
  return { browser, page, complaints }
}
