// How does a test get a program of its own? Started on ports of its choosing, with an empty store that goes with it.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** Starts the program that CAUSEWAY names; answers with its URLs and how to stop it. */
export async function startProgram() {
  const program = process.env.CAUSEWAY
  if (!program) throw new Error('CAUSEWAY must name the program to test')
  const data = mkdtempSync(join(tmpdir(), 'causeway-screens-'))
  const address = '127.0.0.1:0'
  const child = spawn(program, ['serve', '--data', data, '--listen', address, '--otlp-grpc', address, '--otlp-http', address, '--print-addresses'], { stdio: ['ignore', 'pipe', 'ignore'] })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  const line = await new Promise((resolve, reject) => {
    createInterface(child.stdout).once('line', resolve)
    child.once('exit', (code) => reject(new Error(`the program ended with ${code}`)))
  })
  const stop = async () => {
    child.kill('SIGTERM')
    await ended
    rmSync(data, { recursive: true, force: true })
  }
  return { url: `http://${JSON.parse(line).listen}`, stop }
}
