// Sends logs by pino's transport for Loki and by the bulk helper of Elastic's client; prints what went in.
// usage: node send.cjs ENDPOINT
'use strict';

const { once } = require('node:events');
const pino = require('pino');
const { Client } = require('@elastic/elasticsearch');

const [endpoint] = process.argv.slice(2);
const trace_id = '0af7651916cd43dd8448eb211c80319c';
const levels = { trace: 1, debug: 5, info: 9, warn: 13, error: 17, fatal: 21 };

function sent(row) {
  process.stdout.write(`${JSON.stringify(row)}\n`);
}

async function loki() {
  const transport = pino.transport({
    target: 'pino-loki',
    options: { host: endpoint, labels: { app: 'pino-shop' }, batching: { interval: 1 }, silenceErrors: false },
  });
  const logger = pino({ level: 'trace', base: null }, transport);
  for (const [level, severity_number] of Object.entries(levels)) {
    logger[level]({ order: `o-${level}`, trace_id }, `by loki: ${level}`);
    // The label of the stream knows no trace, the line does.
    sent({ service_name: 'pino-shop', severity_number, trace_id, message: `by loki: ${level}` });
  }
  // The worker alone does not keep this process alive.
  const alive = setInterval(() => {}, 1_000);
  transport.end();
  await once(transport, 'close');
  clearInterval(alive);
}

async function elasticsearch() {
  const client = new Client({ node: `${endpoint}/elasticsearch`, compression: true });
  const { version } = await client.info();
  if (!version.number.startsWith('8.')) throw new Error(`version ${version.number}`);
  const documents = Object.entries(levels).map(([level, severity_number]) => {
    sent({ service_name: 'elastic-shop', severity_number, trace_id, message: `by bulk: ${level}` });
    return {
      '@timestamp': new Date().toISOString(),
      log: { level },
      message: `by bulk: ${level}`,
      service: { name: 'elastic-shop' },
      trace: { id: trace_id },
    };
  });
  const done = await client.helpers.bulk({
    datasource: documents,
    onDocument: () => ({ create: { _index: 'logs-shop-default' } }),
    onDrop: (dropped) => { throw new Error(JSON.stringify(dropped)); },
  });
  if (done.successful !== documents.length || done.failed !== 0) throw new Error(JSON.stringify(done));
  await client.close();
}

loki().then(elasticsearch).catch(error => {
  console.error(error);
  process.exit(1);
});
