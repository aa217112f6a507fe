vcl 4.1;

# A cache in front of readers, after docs/spec/remote-settings.md, section 3.8 (numbers in brackets), and
# docs/cdn.md. Checked with Varnish 7.1. Start it so that it leaves encodings alone, which readers
# have prepared, and finds the file beside this one:
#
#   varnishd -f countersign.vcl -p vcl_path=/etc/varnish -p http_gzip_support=off -s malloc,1g
#
# `make cdn` tries all that is promised here.

import std;

include "backends.vcl";

sub vcl_recv {
    set req.backend_hint = readers.backend(resolve=LAZY);

    if (req.method == "BAN") {
        return (synth(600));
    }
    # [7]
    if (req.method !~ "^(GET|HEAD|OPTIONS)$") {
        return (synth(405));
    }
    # Health, version and metrics are for those behind the cache. Nobody has to escape letters, digits and
    # `-._~`: who does wants to get around this, or an entry of his own.
    if (req.url !~ "^/" || req.url ~ "^[^?]*%(2[DEde]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee])"
        || (req.url ~ "^(/v[12])?/__" && req.url !~ "^/v[12]/__broadcasts__($|[?])")) {
        return (synth(404));
    }

    if (req.restarts == 0) {
        unset req.http.X-Failed;
        unset req.http.X-Retry-After;
        unset req.http.X-Late;
    }
    # What has expired is served for as long as its reader allows: while another one is fetched (a minute at
    # most, vcl_hit), or when there is none to be had [3].
    if (req.http.X-Failed || !std.healthy(req.backend_hint)) {
        set req.grace = 365d;
    } else if (req.http.X-Late) {
        set req.grace = 0s;
    } else {
        set req.grace = 60s;
    }
    if (req.restarts > 0) {
        return (hash);
    }

    # [2]
    unset req.http.Authorization;
    unset req.http.Cookie;
    unset req.http.If-Match;
    unset req.http.If-None-Match;
    unset req.http.If-Modified-Since;
    unset req.http.If-Unmodified-Since;
    unset req.http.Range;
    # A preflight request is answered for its origin; anything else is the same for all of them.
    if (req.method == "OPTIONS") {
        return (pass);
    }
    unset req.http.Origin;
    call encoding;
    call query;
    if (req.url ~ "^/v[12]/__broadcasts__" || req.http.X-Odd) {
        return (pass);
    }
    return (hash);
}

# One of few values, so that clients share what is cached [2]: with a dictionary the encoding that uses
# one, and the best that readers have. A name counts where it was mentioned last, unless its weight (RFC
# 9110, 12.4.2) is 0, or none. A dictionary counts only where readers have differences, and only what can
# be the name of one: all else would be entries of no use.
sub encoding {
    std.collect(req.http.Accept-Encoding);
    if (req.url !~ "^[^?]*/changeset([?]|$)" || req.url ~ "^[^?]*[?](.*&)?(_since|_limit)="
        || req.http.Available-Dictionary !~ "^:[A-Za-z0-9+/]{43}=:$"
        || req.http.Accept-Encoding !~ "(?i)(^|,)[ \t]*dcz[ \t]*(;(?![ \t]*q=)[^,;]*)*(;[ \t]*q=(1(\.[0-9]{0,3})?|0\.(?!0*[ \t]*([;,]|$))[0-9]{1,3})[ \t]*(;[^,]*)?)?($|,(?!(.*,)?[ \t]*dcz[ \t]*([;,]|$)))") {
        unset req.http.Available-Dictionary;
    }
    unset req.http.Dictionary-ID;
    if (req.http.Accept-Encoding ~ "(?i)(^|,)[ \t]*br[ \t]*(;(?![ \t]*q=)[^,;]*)*(;[ \t]*q=(1(\.[0-9]{0,3})?|0\.(?!0*[ \t]*([;,]|$))[0-9]{1,3})[ \t]*(;[^,]*)?)?($|,(?!(.*,)?[ \t]*br[ \t]*([;,]|$)))") {
        set req.http.X-Best = "br";
    } else if (req.http.Accept-Encoding ~ "(?i)(^|,)[ \t]*zstd[ \t]*(;(?![ \t]*q=)[^,;]*)*(;[ \t]*q=(1(\.[0-9]{0,3})?|0\.(?!0*[ \t]*([;,]|$))[0-9]{1,3})[ \t]*(;[^,]*)?)?($|,(?!(.*,)?[ \t]*zstd[ \t]*([;,]|$)))") {
        set req.http.X-Best = "zstd";
    } else {
        unset req.http.X-Best;
    }
    if (req.http.Accept-Encoding ~ "(?i)(^|,)[ \t]*(x-)?gzip[ \t]*(;(?![ \t]*q=)[^,;]*)*(;[ \t]*q=(1(\.[0-9]{0,3})?|0\.(?!0*[ \t]*([;,]|$))[0-9]{1,3})[ \t]*(;[^,]*)?)?($|,(?!(.*,)?[ \t]*(x-)?gzip[ \t]*([;,]|$)))") {
        if (req.http.X-Best) {
            set req.http.X-Best = req.http.X-Best + ", gzip";
        } else {
            set req.http.X-Best = "gzip";
        }
    }
    unset req.http.Accept-Encoding;
    if (req.http.Available-Dictionary && req.http.X-Best) {
        set req.http.Accept-Encoding = "dcz, " + req.http.X-Best;
    } else if (req.http.Available-Dictionary) {
        set req.http.Accept-Encoding = "dcz";
    } else if (req.http.X-Best) {
        set req.http.Accept-Encoding = req.http.X-Best;
    }
    unset req.http.X-Best;
}

# X-Odd: what is left to the reader as it is, and makes no entry.
sub query {
    unset req.http.X-Odd;
    if (req.url ~ "^/v[12]/buckets/[^/?]+/collections/[^/?]+/changeset([?]|$)") {
        call changeset_query;
    } else if (req.url ~ "^/v[12]/([?]|$|cert-chains/|__)") {
        set req.url = regsub(req.url, "[?].*$", "");
    } else {
        call list_query;
    }
}

# Lists and objects: anything may be a filter, so that all of it counts, in one order. HEAD tells how
# many there are, which GET does not.
sub list_query {
    if (req.method == "HEAD" || req.url ~ "^.{1024}"
        || req.url ~ "%(2[DEde]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee])") {
        set req.http.X-Odd = "1";
    } else {
        set req.url = regsub(std.querysort(regsuball(req.url, {"""}, "%22")), "[?]&*$", "");
    }
}

# The known parameters in a fixed order; all others are dropped [1]. What is given twice the reader refuses;
# what is escaped without need is the same to it. A `?` within the query separates nothing.
sub changeset_query {
    set req.http.X-Query = "";
    set req.http.X-Path = regsub(req.url, "[?].*$", "");
    if (req.url ~ "^[^?]*[?](.*&)?(_expected|_since|_limit|bucket|collection)=(.*&)?\2="
        || req.url ~ "%(2[DEde]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee])") {
        set req.http.X-Odd = "1";
    }
    if (req.url ~ "^[^?]*[?](.*&)?_expected=") {
        set req.http.X-Value = regsub(req.url, "^[^?]*[?](?:[^&]*&)*?_expected=([^&]*).*$", "\1");
        set req.http.X-Value = regsuball(req.http.X-Value, {"""}, "%22");
        # The monitor redirects to the URL without quotes, and /v2 refuses them.
        if (req.url ~ "^/v1/" && req.url !~ "^/v1/buckets/monitor/collections/changes/changeset") {
            set req.http.X-Value = regsub(req.http.X-Value, "^%22([^%]+)%22$", "\1");
        }
        set req.http.X-Query = req.http.X-Query + "&_expected=" + req.http.X-Value;
    }
    if (req.url ~ "^[^?]*[?](.*&)?_limit=") {
        set req.http.X-Query = req.http.X-Query + "&_limit="
            + regsub(req.url, "^[^?]*[?](?:[^&]*&)*?_limit=([^&]*).*$", "\1");
    }
    if (req.url ~ "^[^?]*[?](.*&)?_since=") {
        set req.http.X-Value = regsub(req.url, "^[^?]*[?](?:[^&]*&)*?_since=([^&]*).*$", "\1");
        set req.http.X-Value = regsuball(req.http.X-Value, {"""}, "%22");
        if (req.url ~ "^/v1/") {
            set req.http.X-Value = regsub(req.http.X-Value, "^%22([^%]+)%22$", "\1");
        }
        set req.http.X-Query = req.http.X-Query + "&_since=" + req.http.X-Value;
    }
    # Which ones the monitor lists; elsewhere they mean nothing.
    if (req.url ~ "^/v[12]/buckets/monitor/collections/changes/changeset[?](.*&)?bucket=") {
        set req.http.X-Query = req.http.X-Query + "&bucket="
            + regsub(req.url, "^[^?]*[?](?:[^&]*&)*?bucket=([^&]*).*$", "\1");
    }
    if (req.url ~ "^/v[12]/buckets/monitor/collections/changes/changeset[?](.*&)?collection=") {
        set req.http.X-Query = req.http.X-Query + "&collection="
            + regsub(req.url, "^[^?]*[?](?:[^&]*&)*?collection=([^&]*).*$", "\1");
    }
    if (!req.http.X-Odd) {
        set req.url = req.http.X-Path + regsub(req.http.X-Query, "^&", "?");
    }
    unset req.http.X-Query;
    unset req.http.X-Path;
    unset req.http.X-Value;
}

# Not the client's `Host`: with that, one request could change what the others are served.
#
# A dictionary's name belongs to the key, though readers say `Vary` as well: variants of one key are looked
# through one after the other, and who sends random names would slow down everybody else.
sub vcl_hash {
    hash_data(req.url);
    if (req.http.Available-Dictionary) {
        hash_data(req.http.Available-Dictionary);
    }
    # The root tells the host by which it was asked, where settings name none.
    if (req.url == "/v1/") {
        hash_data(req.http.Host);
    }
    return (lookup);
}

sub vcl_hit {
    # Expired for longer than its reader allows while it can be asked again.
    if (obj.ttl <= 0s && !req.http.X-Failed && std.healthy(req.backend_hint)
        && obj.ttl + std.duration(obj.http.X-Revalidate + "s", 0s) <= 0s) {
        set req.http.X-Late = "1";
        return (restart);
    }
}

sub vcl_miss {
    # There is nothing stale, and the reader has failed this request a moment ago.
    if (req.http.X-Failed) {
        return (synth(503));
    }
}

sub vcl_backend_fetch {
    set bereq.backend = readers.backend(by=URL, alt=bereq.retries);
    # Nothing but the root depends on it, and its entries have it in their key.
    if (bereq.url != "/v1/") {
        set bereq.http.Host = "countersign";
    }
    unset bereq.http.If-None-Match;
    unset bereq.http.If-Modified-Since;
}

sub vcl_backend_response {
    # Keys in a form that no regular expression of `ban` has to quote.
    if (beresp.http.Surrogate-Key) {
        set beresp.http.X-Keys = "|" + regsuball(beresp.http.Surrogate-Key, " +", "|") + "|";
    } else {
        # A reader of a version that sends none.
        set beresp.http.X-Keys = "|countersign|" + regsub(bereq.url,
            "^/v[12]/buckets/([^/?]+)/collections/([^/?]+).*$", "\1/\2") + "|";
    }

    # Never stored [3]. A failed refresh leaves what is there.
    if (beresp.status >= 500 || beresp.status == 429) {
        if (bereq.is_bgfetch) {
            return (abandon);
        }
        set beresp.ttl = 0s;
        set beresp.grace = 0s;
        set beresp.keep = 0s;
        set beresp.uncacheable = true;
        return (deliver);
    }
    set beresp.keep = 0s;
    # For how long it may be served when it has expired. Changesets say so, and what is older than its
    # `_expected` says nothing, so that it is not. The others do not speak of it.
    set beresp.http.X-Revalidate = "60";
    set beresp.grace = 24h;
    if (beresp.status == 200 && bereq.url ~ "/changeset([?]|$)|/monitor/collections/changes/records[?](.*&)?_expected=") {
        call stale;
    }
    if (beresp.status == 404 || beresp.status == 410) {
        # A minute with its grace.
        if (beresp.ttl > 50s || !(beresp.http.Cache-Control || beresp.http.Expires)) {
            set beresp.ttl = 50s;
        }
        set beresp.grace = 10s;
        set beresp.http.X-Revalidate = "10";
        return (deliver);
    }
    # Other refusals, and what has no lifetime, are asked for each time, and not one after the other.
    if ((beresp.status != 200 && beresp.status != 204 && beresp.status != 301
            && beresp.status != 307 && beresp.status != 308)
        || !(beresp.http.Cache-Control || beresp.http.Expires)
        || beresp.http.Cache-Control ~ "(?i)no-store|no-cache|private"
        || beresp.ttl <= 0s) {
        set beresp.ttl = 5s;
        set beresp.grace = 0s;
        set beresp.uncacheable = true;
        return (deliver);
    }
    # No difference from this dictionary: it is not made yet. Where nobody knows it, the answer is private.
    if (bereq.http.Available-Dictionary && beresp.http.Content-Encoding != "dcz") {
        if (beresp.ttl > 50s) {
            set beresp.ttl = 50s;
        }
        set beresp.grace = 10s;
        set beresp.http.X-Revalidate = "10";
    }
    return (deliver);
}

# RFC 5861.
sub stale {
    set beresp.http.X-Revalidate = "0";
    set beresp.grace = 0s;
    if (beresp.http.Cache-Control ~ "(?i)stale-while-revalidate=[0-9]+") {
        set beresp.http.X-Revalidate
            = regsub(beresp.http.Cache-Control, "(?i)^.*stale-while-revalidate=([0-9]+).*$", "\1");
        set beresp.grace = std.duration(beresp.http.X-Revalidate + "s", 0s);
    }
    if (beresp.http.Cache-Control ~ "(?i)stale-if-error=[0-9]+") {
        set beresp.grace = std.duration(
            regsub(beresp.http.Cache-Control, "(?i)^.*stale-if-error=([0-9]+).*$", "\1s"), 0s);
    }
}

# Nobody answers, or too late: another reader may. Else as a failure of the reader: Varnish would keep its
# own answer for a second, in front of what is stale.
sub vcl_backend_error {
    if (bereq.retries == 0) {
        return (retry);
    }
    if (bereq.is_bgfetch) {
        return (abandon);
    }
    set beresp.ttl = 0s;
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    set beresp.uncacheable = true;
    return (deliver);
}

sub vcl_deliver {
    # What is stale is better than a failure [3].
    if ((resp.status >= 500 || resp.status == 429) && !req.http.X-Failed && req.method != "OPTIONS") {
        set req.http.X-Failed = resp.status;
        set req.http.X-Retry-After = resp.http.Retry-After;
        # As well as what others have.
        unset req.http.Available-Dictionary;
        set req.http.Accept-Encoding = regsub(req.http.Accept-Encoding, "^dcz(, )?", "");
        if (req.http.Accept-Encoding == "") {
            unset req.http.Accept-Encoding;
        }
        return (restart);
    }
    unset resp.http.X-Keys;
    unset resp.http.X-Revalidate;
    unset resp.http.Surrogate-Key;
    unset resp.http.Cache-Tag;
    unset resp.http.X-Varnish;
    unset resp.http.Via;
    if (obj.hits > 0) {
        set resp.http.X-Cache = "HIT";
    } else {
        set resp.http.X-Cache = "MISS";
    }
    return (deliver);
}

sub vcl_synth {
    if (resp.status == 600) {
        call purge_keys;
        return (deliver);
    }
    set resp.http.Content-Type = "application/json";
    set resp.http.Access-Control-Allow-Origin = "*";
    if (resp.status == 503) {
        set resp.http.Retry-After = "30";
        if (req.http.X-Retry-After ~ "^[0-9]+$") {
            set resp.http.Retry-After = req.http.X-Retry-After;
        }
        set resp.body = {"{"code":503,"errno":201,"error":"Service Unavailable","message":"Service temporary unavailable due to overloading or maintenance, please retry later." }"};
    } else if (resp.status == 405) {
        set resp.http.Allow = "GET, HEAD, OPTIONS";
        set resp.body = {"{"code":405,"errno":115,"error":"Method Not Allowed","message":"Method not allowed on this endpoint." }"};
    } else if (resp.status == 404) {
        set resp.body = {"{"code":404,"errno":111,"error":"Not Found","message":"The resource you are looking for could not be found." }"};
    }
    return (deliver);
}

# `BAN` with `Surrogate-Key: key key …`, from the writer (docs/cdn.md).
sub purge_keys {
    set resp.http.Content-Type = "text/plain";
    if (client.ip !~ purgers) {
        set resp.status = 403;
        set resp.reason = "Forbidden";
        set resp.body = "not from here";
    } else if (req.http.Surrogate-Key !~ "^[A-Za-z0-9_:/-]+( [A-Za-z0-9_:/-]+)*$") {
        set resp.status = 400;
        set resp.reason = "Bad Request";
        set resp.body = "Surrogate-Key: keys, separated by blanks";
    } else if (!std.healthy(req.backend_hint)) {
        # What is forgotten now could not be fetched again. The writer comes back.
        set resp.status = 503;
        set resp.reason = "Service Unavailable";
        set resp.http.Retry-After = "5";
        set resp.body = "no reader is healthy";
    } else {
        set resp.status = 200;
        set resp.reason = "OK";
        ban("obj.http.X-Keys ~ [|](" + regsuball(req.http.Surrogate-Key, " ", "|") + ")[|]");
        set resp.body = "banned";
    }
}
