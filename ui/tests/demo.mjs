// How does a test get a shop that breaks? The demo itself: real processes, real load, a store of its own on a free port.
import { spawn } from 'node:child_process'
import { createServer } from 'node:net'

async function freePort() {
  const server = createServer()
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}

/**
 * Starts the demo of the program that CAUSEWAY names; answers when the shop is open, with the store's URL, how to wait for words of
 * the demo, and how to end both.
 */
export async function startDemo({ scenario, speed }) {
  const program = process.env.CAUSEWAY
  if (!program) throw new Error('CAUSEWAY must name the program to test')
  const url = `http://127.0.0.1:${await freePort()}`
  const child = spawn(program, ['demo', '--scenario', scenario, '--speed', String(speed), '--url', url], { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  let said = ''
  const waiting = new Set()
  // Read to the end, or the demo would wait for its words to be taken.
  const hear = (chunk) => {
    said += chunk
    for (const wake of waiting) wake()
  }
  child.stdout.on('data', hear)
  child.stderr.on('data', hear)
  const heard = (words) => new Promise((resolve, reject) => {
    const wake = () => {
      if (!said.includes(words)) return
      waiting.delete(wake)
      resolve()
    }
    waiting.add(wake)
    wake()
    ended.then((code) => reject(new Error(`the demo ended with ${code} and did not say "${words}": ${said}`)))
  })
  const stop = async () => {
    child.kill('SIGINT')
    await ended
  }
  await heard('The shop is open')
  return { url, heard, stop }
}
