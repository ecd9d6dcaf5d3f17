// How do the sources become what the program embeds? dist/, hashed names, and beside each text its gzip twin.
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import react from '@vitejs/plugin-react'
import { defineConfig, type Plugin } from 'vite'

/** The server answers with the twin where the browser takes gzip. */
function twins(): Plugin {
  return {
    name: 'gzip-twins',
    apply: 'build',
    async closeBundle() {
      for (const folder of ['dist', 'dist/assets']) {
        for (const name of (await readdir(folder)).filter((name) => /\.(js|css|html|svg)$/.test(name))) {
          await writeFile(join(folder, `${name}.gz`), gzipSync(await readFile(join(folder, name)), { level: 9 }))
        }
      }
    },
  }
}

const server = process.env.CAUSEWAY_URL ?? 'http://127.0.0.1:4300'

export default defineConfig({
  plugins: [react(), twins()],
  // dist/.gitignore keeps the folder in the repository; `npm run build` clears the rest. No data: URLs, the policy forbids them.
  build: { emptyOutDir: false, assetsInlineLimit: 0, manifest: 'manifest.json', modulePreload: { polyfill: false } },
  // The program answers its own pages alone: behind the proxy the page speaks as one of them.
  server: { proxy: Object.fromEntries(['/api', '/v1', '/readyz', '/healthz', '/metrics', '/ofrep'].map((path) => [path, { target: server, changeOrigin: true, headers: { origin: server } }])) },
})
