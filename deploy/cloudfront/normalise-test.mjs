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
const filtered = { _expected: '7', collection: 'c', bucket: 'b' };
assert.equal(spelled(C, filtered), '_expected=7');
assert.equal(spelled(MONITOR, filtered), '_expected=7&bucket=b&collection=c');
// Lists keep all of theirs, as they were sent.
assert.equal(spelled(C.replace('changeset', 'records'), { b: '1', _token: 't', a: '"2"' }), 'b=1&_token=t&a="2"');
const twice = { _expected: { value: '2', multiValue: [{ value: '1' }, { value: '2' }] } };
const request = { method: 'GET', uri: C, querystring: twice, headers: {} };
assert.deepEqual(handler({ request }).querystring, twice);
assert.equal(ask(C, {}, 'POST').statusCode, 405);
for (const hidden of ['/v1/__metrics__', '/__heartbeat__', '/v1/%5F%5Fmetrics__', '/v%31/__metrics__', '/%5f_version__']) {
  assert.equal(ask(hidden, {}).statusCode, 404);
}
assert.equal(ask('/v2/__broadcasts__', {}).uri, '/v2/__broadcasts__');
assert.equal(ask('/v1/__broadcasts__', {}).uri, '/v1/__broadcasts__');
const able = { 'available-dictionary': ':aGk=:', 'accept-encoding': 'gzip, dcz' };
const { headers } = ask(C, {}, 'GET', able);
assert.deepEqual(headers, { 'accept-encoding': { value: 'gzip, dcz' } });
const browser = { origin: 'https://a.example', 'access-control-request-method': 'GET' };
assert.equal(ask(C, {}, 'GET', browser).headers.origin, undefined);
assert.equal(ask(C, {}, 'OPTIONS', browser).headers.origin.value, 'https://a.example');
console.log('all as expected');
