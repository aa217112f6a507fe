// A CloudFront function for "viewer request": docs/spec/remote-settings.md, section 3.8, rules 1, 2, 7.
// `node deploy/cloudfront/normalise-test.mjs` tries it.
var CHANGESET = /^\/v[12]\/buckets\/[^/]+\/collections\/[^/]+\/changeset$/;
var MONITOR = /^\/v[12]\/buckets\/monitor\/collections\/changes\/changeset$/;
// Nobody has to escape letters, digits and `-._~`: who does wants to get around what is refused here.
var NEEDLESS = /%(2[de]|3[0-9]|[46][1-9a-f]|[57][0-9a]|5f|7e)/i;

function handler(event) {
    var request = event.request;
    if (['GET', 'HEAD', 'OPTIONS'].indexOf(request.method) < 0) {
        return refusal(405, 'Method Not Allowed', 115);
    }
    // Health, version and metrics are for those behind the cache.
    if (NEEDLESS.test(request.uri)
        || (/^(\/v[12])?\/__/.test(request.uri) && !/^\/v[12]\/__broadcasts__$/.test(request.uri))) {
        return refusal(404, 'Not Found', 111);
    }
    if (CHANGESET.test(request.uri)) {
        request.querystring = normalised(request.uri, request.querystring);
    }
    // A preflight request is answered for its origin; anything else is the same for all of them.
    if (request.method !== 'OPTIONS') delete request.headers['origin'];
    // CloudFront makes br or gzip of Accept-Encoding: a dictionary would be of no use.
    delete request.headers['available-dictionary'];
    return request;
}

// The known parameters, sorted, without the quotes that say nothing. What is given twice the reader refuses.
function normalised(uri, sent) {
    var kept = {};
    var names = ['_expected', '_limit', '_since'];
    // Which ones the monitor lists; elsewhere they mean nothing.
    if (MONITOR.test(uri)) names = names.concat(['bucket', 'collection']);
    names.forEach(function (name) {
        if (!sent[name]) return;
        if (sent[name].multiValue) {
            kept[name] = sent[name];
            return;
        }
        var value = sent[name].value.replace(/"/g, '%22');
        // The monitor redirects to the URL without those of `_expected`, and /v2 refuses all.
        var isPlain = uri.indexOf('/v1/') === 0
            && (name === '_since' || (name === '_expected' && !MONITOR.test(uri)));
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
