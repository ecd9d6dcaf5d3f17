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

/** Starts the demo of the program that CAUSEWAY names; answers when the shop is open, with the store's URL and how to end both. */
export async function startDemo({ scenario, speed }) {
  const program = process.env.CAUSEWAY
  if (!program) throw new Error('CAUSEWAY must name the program to test')
  const url = `http://127.0.0.1:${await freePort()}`
  const child = spawn(program, ['demo', '--scenario', scenario, '--speed', String(speed), '--url', url], { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  let said = ''
  await new Promise((resolve, reject) => {
    // Read to the end, or the demo would wait for its words to be taken.
    const heard = (chunk) => {
      said += chunk
      if (said.includes('The shop is open')) resolve()
    }
    child.stdout.on('data', heard)
    child.stderr.on('data', heard)
    child.once('exit', (code) => reject(new Error(`the demo ended with ${code}: ${said}`)))
  })
  const stop = async () => {
    child.kill('SIGINT')
    await ended
  }
  return { url, stop, said: () => said }
}
