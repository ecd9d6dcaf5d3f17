// A small service for `causeway dev`: orders over HTTP, logged by pino, instrumented from outside. NEXT=1 is the same after a developer's
// change: some orders fail, the report got slow, and nobody answers at /legacy any more.
const http = require('node:http')
const pino = require('pino')

const log = pino()
const next = process.env.NEXT === '1'

const routes = {
  orders(number, response) {
    if (next && number % 5 === 0) {
      log.error({ order: number }, `order ${number} has no address`)
      response.statusCode = 500
    } else {
      log.info({ order: number }, `order ${number} was read`)
    }
    response.end()
  },
  report(_number, response) {
    setTimeout(() => response.end(), next ? 250 : 0)
  },
  legacy(_number, response) {
    response.end()
  },
}

const server = http.createServer((request, response) => {
  const [, name, number] = request.url.split('?')[0].split('/')
  routes[name](Number(number), response)
})
server.listen(0, '127.0.0.1', () => console.log(`listening ${server.address().port}`))
// Ends of its own accord once nothing is left to do, so that the SDK sends what it still holds.
process.once('SIGINT', () => {
  process.exitCode = 7
  server.close()
})
