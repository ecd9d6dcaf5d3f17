// Sends logs by pino's own transport, which has a worker and an SDK of its own, so that only what went in is known; prints that.
// usage: node transport.cjs ENDPOINT SERVICE
'use strict';

const { once } = require('node:events');
const pino = require('pino');

const [endpoint, service] = process.argv.slice(2);

async function main() {
  const transport = pino.transport({
    target: 'pino-opentelemetry-transport',
    options: {
      loggerName: 'pino',
      serviceVersion: '1.0',
      resourceAttributes: { 'service.name': service },
      logRecordProcessorOptions: {
        recordProcessorType: 'batch',
        exporterOptions: { protocol: 'http/protobuf', protobufExporterOptions: { url: `${endpoint}/v1/logs` } },
      },
    },
  });
  const logger = pino({ level: 'trace', base: null }, transport);
  const levels = { trace: 1, debug: 5, info: 9, warn: 13, error: 17, fatal: 21 };
  for (const [level, severity_number] of Object.entries(levels)) {
    const attributes = { 'order.id': `o-${level}` };
    logger[level](attributes, `by transport: ${level}`);
    const row = { body: `by transport: ${level}`, body_kind: 1, severity_number, service_name: service, attributes };
    process.stdout.write(`${JSON.stringify({ table: 'logs', row })}\n`);
  }
  // The worker alone does not keep this process alive.
  const alive = setInterval(() => {}, 1_000);
  transport.end();
  await once(transport, 'close');
  clearInterval(alive);
}

main().catch(error => {
  console.error(error);
  process.exit(1);
});
