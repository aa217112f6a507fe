// A CloudFront function for "viewer request": docs/spec/remote-settings.md, section 3.8, rules 1, 2, 7.
// `node deploy/cloudfront/normalise-test.mjs` tries it.
var KEPT = ['_expected', '_limit', '_since', 'bucket', 'collection'];
var MONITOR = '/v1/buckets/monitor/collections/changes/changeset';

function handler(event) {
    var request = event.request;
    if (['GET', 'HEAD', 'OPTIONS'].indexOf(request.method) < 0) {
        return refusal(405, 'Method Not Allowed', 115);
    }
    // Health, version and metrics are for those behind the cache.
    if (/^(\/v[12])?\/__/.test(request.uri) && !/^\/v[12]\/__broadcasts__$/.test(request.uri)) {
        return refusal(404, 'Not Found', 111);
    }
    request.querystring = normalised(request.uri, request.querystring);
    // CloudFront makes br or gzip of Accept-Encoding: a dictionary would be of no use.
    delete request.headers['available-dictionary'];
    return request;
}

// The known parameters, sorted, each once, without the quotes that say nothing.
function normalised(uri, sent) {
    var kept = {};
    KEPT.forEach(function (name) {
        if (!sent[name]) return;
        var value = sent[name].value.replace(/"/g, '%22');
        // The monitor redirects to the URL without those of `_expected`, and /v2 refuses all.
        var isPlain = uri.indexOf('/v1/') === 0
            && (name === '_since' || (name === '_expected' && uri !== MONITOR));
        if (isPlain) value = value.replace(/^%22([^%]+)%22$/, '$1');
        kept[name] = { value: value };
    });
    return kept;
}

function refusal(status, text, errno) {
    var body = { code: status, errno: errno, error: text, message: text };
    return {
        statusCode: status,
        statusDescription: text,
        headers: {
            'content-type': { value: 'application/json' },
            'access-control-allow-origin': { value: '*' },
        },
        body: JSON.stringify(body),
    };
}
