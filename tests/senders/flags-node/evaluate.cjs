// Evaluates flags with OpenFeature's SDK for Node and its OFREP provider: `node evaluate.cjs URL`.
//
// Reads a JSON array of `{"type", "key", "default", "context"}`, and prints one of `{"value", "variant", "reason", "error"}`.
// With a file of flags as a second argument flagd's own evaluator answers instead of the server.
'use strict';

const fs = require('node:fs');
const { OpenFeature } = require('@openfeature/server-sdk');
const { OFREPProvider } = require('@openfeature/ofrep-provider');
const { FlagdCore } = require('@openfeature/flagd-core');

const silent = { error() {}, warn() {}, info() {}, debug() {} };
const shown = ({ value, variant, reason, errorCode }) => ({
  value,
  variant: variant ?? null,
  reason,
  error: errorCode ?? null,
});

async function provider(url) {
  await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: url }));
  const client = OpenFeature.getClient();
  client.setLogger(silent);
  const methods = {
    boolean: client.getBooleanDetails,
    string: client.getStringDetails,
    integer: client.getNumberDetails,
    float: client.getNumberDetails,
    object: client.getObjectDetails,
  };
  return (asked) => methods[asked.type].call(client, asked.key, asked.default, asked.context);
}

function flagd(file) {
  const core = new FlagdCore(undefined, silent);
  core.setConfigurations(fs.readFileSync(file, 'utf8'));
  return async (asked) => core.resolveStringEvaluation(asked.key, asked.default, asked.context, silent);
}

async function main() {
  const [url, file] = process.argv.slice(2);
  const evaluate = file ? flagd(file) : await provider(url);
  const answers = [];
  for (const asked of JSON.parse(fs.readFileSync(0, 'utf8'))) {
    answers.push(shown(await evaluate(asked)));
  }
  process.stdout.write(JSON.stringify(answers));
}

main();
