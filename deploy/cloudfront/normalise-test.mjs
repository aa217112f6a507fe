// What the CloudFront function makes of requests: `node deploy/cloudfront/normalise-test.mjs`.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

const source = readFileSync(new URL('normalise.js', import.meta.url), 'utf8');
const handler = new Function(`${source}; return handler;`)();
const C = '/v1/buckets/main/collections/c/changeset';
const MONITOR = '/v1/buckets/monitor/collections/changes/changeset';

function ask(uri, query, method = 'GET', headers = {}) {
  const querystring = {};
  for (const [name, value] of Object.entries(query)) querystring[name] = { value };
  const sent = {};
  for (const [name, value] of Object.entries(headers)) sent[name] = { value };
  return handler({ request: { method, uri, querystring, headers: sent } });
}

const spelled = (uri, query) =>
  Object.entries(ask(uri, query).querystring).map(([name, { value }]) => `${name}=${value}`).join('&');

assert.equal(spelled(C, { x: '1', _since: '%225%22', _expected: '"7"' }), '_expected=7&_since=5');
assert.equal(spelled(C, { _expected: '7', _since: '5' }), '_expected=7&_since=5');
assert.equal(spelled(C, { _expected: '7', _since: '%225' }), '_expected=7&_since=%225');
assert.equal(spelled(MONITOR, { _expected: '%227%22', _since: '%225%22' }), '_expected=%227%22&_since=5');
assert.equal(spelled(C.replace('v1', 'v2'), { _expected: '%227%22' }), '_expected=%227%22');
assert.equal(ask(C, {}, 'POST').statusCode, 405);
assert.equal(ask('/v1/__metrics__', {}).statusCode, 404);
assert.equal(ask('/v1/__broadcasts__', {}).uri, '/v1/__broadcasts__');
const able = { 'available-dictionary': ':aGk=:', 'accept-encoding': 'gzip, dcz' };
const { headers } = ask(C, {}, 'GET', able);
assert.deepEqual(headers, { 'accept-encoding': { value: 'gzip, dcz' } });
console.log('all as expected');
