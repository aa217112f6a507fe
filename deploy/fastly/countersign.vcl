# Fastly, after docs/spec/remote-settings.md, section 3.8 (numbers in brackets), and docs/cdn.md. For a
# service with custom VCL whose backends are the readers; "Shielding" makes one POP ask for all. Not
# tried on Fastly: reviewed only; `deploy/varnish/countersign.vcl` is the same in Varnish's own words,
# and is tried. The macros stay where Fastly wants them.
#
# Purges come by API (purge.<name>.kind = "fastly"): Fastly reads the readers' `Surrogate-Key` and takes
# it away from what clients get.
#
# Set "Override host" to the service's name, so that no reader hears another one.

sub vcl_recv {
#FASTLY recv

  # [7]
  if (req.method !~ "^(GET|HEAD|OPTIONS|FASTLYPURGE)$") {
    error 405 "Method Not Allowed";
  }
  # Without this, everybody may purge a URL.
  if (req.method == "FASTLYPURGE") {
    set req.http.Fastly-Purge-Requires-Auth = "1";
  }
  # Health, version and metrics are for those behind the cache. Nobody has to escape letters, digits and
  # `-._~`: who does wants to get around this, or an entry of his own.
  if (req.url.path ~ "%(2[DEde]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee])"
      || (req.url.path ~ "^(/v[12])?/__" && req.url.path !~ "^/v[12]/__broadcasts__$")) {
    error 404 "Not Found";
  }
  if (req.method == "OPTIONS" || req.url.path ~ "^/v[12]/__broadcasts__$") {
    return(pass);
  }

  # [1] Once, at the POP that the client talks to: behind the shield it is done already.
  if (fastly.ff.visits_this_service == 0) {
    set req.http.X-Odd = "";
    if (req.url.path ~ "^/v[12]/buckets/[^/]+/collections/[^/]+/changeset$") {
      # What is given twice the reader refuses; what is escaped without need is the same to it.
      if (req.url.qs ~ "(^|&)(_expected|_since|_limit|bucket|collection)=(.*&)?\2=" || req.url.qs ~ "%(2[DEde]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee])") {
        set req.http.X-Odd = "1";
      } else {
        if (req.url.path ~ "^/v[12]/buckets/monitor/collections/changes/") {
          set req.url = querystring.filter_except(req.url,
            "_expected" querystring.filtersep() "_since" querystring.filtersep() "_limit"
            querystring.filtersep() "bucket" querystring.filtersep() "collection");
        } else {
          set req.url = querystring.filter_except(req.url,
            "_expected" querystring.filtersep() "_since" querystring.filtersep() "_limit");
        }
        set req.url = querystring.sort(req.url);
        # Quotes say nothing in /v1. The monitor redirects to the URL without those of `_expected`, and /v2
        # refuses them.
        set req.url = regsuball(req.url, {"""}, "%22");
        if (req.url.path ~ "^/v1/") {
          set req.url = regsub(req.url, "([?&]_since=)%22([^%&]+)%22(&|$)", "\1\2\3");
          if (req.url.path != "/v1/buckets/monitor/collections/changes/changeset") {
            set req.url = regsub(req.url, "([?&]_expected=)%22([^%&]+)%22(&|$)", "\1\2\3");
          }
        }
      }
    } else if (req.url.path ~ "^/v[12]/($|cert-chains/)") {
      set req.url = querystring.remove(req.url);
    } else if (req.method == "HEAD" || std.strlen(req.url) > 1024 || req.url.qs ~ "%(2[DEde]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee])") {
      # HEAD of a list tells how many there are, which GET does not.
      set req.http.X-Odd = "1";
    } else {
      # Lists and objects: anything may be a filter, so that all of it counts, in one order.
      set req.url = querystring.sort(req.url);
    }
  }

  # [2] Fastly has made br or gzip of Accept-Encoding; what the client sent is beside it. Its choice does not
  # know of refusals. With a dictionary there is dcz as well: where readers have differences, and for what can
  # be the name of a dictionary. All else would be entries of no use. At the shield, the POP has done it.
  if (fastly.ff.visits_this_service == 0) {
    if (req.http.Accept-Encoding == "br"
        && req.http.Fastly-Orig-Accept-Encoding !~ "(?i)(^|,)[ \t]*br[ \t]*(;(?![ \t]*q=)[^,;]*)*(;[ \t]*q=(1(\.[0-9]{0,3})?|0\.(?!0*[ \t]*([;,]|$))[0-9]{1,3})[ \t]*(;[^,]*)?)?($|,(?!(.*,)?[ \t]*br[ \t]*([;,]|$)))") {
      set req.http.Accept-Encoding = "gzip";
    }
    if (req.http.Accept-Encoding == "gzip"
        && req.http.Fastly-Orig-Accept-Encoding !~ "(?i)(^|,)[ \t]*(x-)?gzip[ \t]*(;(?![ \t]*q=)[^,;]*)*(;[ \t]*q=(1(\.[0-9]{0,3})?|0\.(?!0*[ \t]*([;,]|$))[0-9]{1,3})[ \t]*(;[^,]*)?)?($|,(?!(.*,)?[ \t]*(x-)?gzip[ \t]*([;,]|$)))") {
      unset req.http.Accept-Encoding;
    }
    if (req.url.path ~ "/changeset$" && req.url.qs !~ "(^|&)(_since|_limit)="
        && req.http.Available-Dictionary ~ "^:[A-Za-z0-9+/]{43}=:$"
        && req.http.Fastly-Orig-Accept-Encoding
          ~ "(?i)(^|,)[ \t]*dcz[ \t]*(;(?![ \t]*q=)[^,;]*)*(;[ \t]*q=(1(\.[0-9]{0,3})?|0\.(?!0*[ \t]*([;,]|$))[0-9]{1,3})[ \t]*(;[^,]*)?)?($|,(?!(.*,)?[ \t]*dcz[ \t]*([;,]|$)))") {
      # Where the dictionary is unknown, the client gets what it would without.
      if (!req.http.Accept-Encoding) {
        set req.http.Accept-Encoding = "dcz";
      } else if (req.http.Accept-Encoding !~ "^dcz") {
        set req.http.Accept-Encoding = "dcz, " req.http.Accept-Encoding;
      }
    } else {
      unset req.http.Available-Dictionary;
    }
  }
  unset req.http.Dictionary-ID;
  unset req.http.Authorization;
  unset req.http.Cookie;
  unset req.http.Origin;
  unset req.http.If-Match;
  unset req.http.If-None-Match;
  unset req.http.If-Modified-Since;
  unset req.http.If-Unmodified-Since;
  unset req.http.Range;
  if (req.http.X-Odd == "1") {
    return(pass);
  }
  return(lookup);
}

# Not the client's `Host`: the key is the URL, and the dictionary: variants of one key are few at Fastly, and
# random names would push out those that others need.
sub vcl_hash {
  set req.hash += req.url;
  if (req.http.Available-Dictionary) {
    set req.hash += req.http.Available-Dictionary;
  }
#FASTLY hash
  return(hash);
}

sub vcl_fetch {
#FASTLY fetch

  # [3] Stale rather than a failure, and never a failure in the cache.
  if (beresp.status >= 500 || beresp.status == 429) {
    if (stale.exists) {
      return(deliver_stale);
    }
    return(pass);
  }
  if (beresp.status == 404 || beresp.status == 410) {
    if (beresp.ttl > 60s || !(beresp.http.Cache-Control || beresp.http.Expires)) {
      set beresp.ttl = 60s;
    }
    set beresp.stale_while_revalidate = 0s;
    set beresp.stale_if_error = 0s;
    return(deliver);
  }
  if (beresp.status != 200 && beresp.status != 204 && beresp.status != 301 && beresp.status != 307
      && beresp.status != 308) {
    return(pass);
  }
  if (!(beresp.http.Cache-Control || beresp.http.Expires)
      || beresp.http.Cache-Control ~ "(?i)no-store|no-cache|private") {
    return(pass);
  }
  # How long it may be served when it has expired is the reader's for changesets, which Fastly reads from
  # Cache-Control: what is older than its `_expected` says nothing, so that it is not. The others do not speak
  # of it.
  if (beresp.status != 200
      || req.url !~ "/changeset([?]|$)|/monitor/collections/changes/records[?](.*&)?_expected=") {
    set beresp.stale_while_revalidate = 60s;
    set beresp.stale_if_error = 86400s;
  }
  # No difference from this dictionary: it is not made yet. Where nobody knows it, the answer is private.
  if (req.http.Available-Dictionary && beresp.http.Content-Encoding != "dcz") {
    if (beresp.ttl > 60s) {
      set beresp.ttl = 60s;
    }
    set beresp.stale_while_revalidate = 0s;
    set beresp.stale_if_error = 0s;
  }
  # What readers have prepared is not compressed again.
  set beresp.gzip = false;
  set beresp.brotli = false;
  return(deliver);
}

sub vcl_error {
#FASTLY error
  if (obj.status >= 500 && stale.exists) {
    return(deliver_stale);
  }
  # No reader has answered, or the one that was asked has not: another one may.
  if (obj.status == 503 && req.restarts == 0) {
    restart;
  }
  set obj.http.Content-Type = "application/json";
  set obj.http.Access-Control-Allow-Origin = "*";
  if (obj.status == 404) {
    synthetic {"{"code":404,"errno":111,"error":"Not Found","message":"The resource you are looking for could not be found." }"};
  } else if (obj.status == 405) {
    synthetic {"{"code":405,"errno":115,"error":"Method Not Allowed","message":"Method not allowed on this endpoint." }"};
  } else {
    set obj.http.Retry-After = "30";
    synthetic {"{"code":503,"errno":201,"error":"Service Unavailable","message":"Service temporary unavailable due to overloading or maintenance, please retry later." }"};
  }
  return(deliver);
}

sub vcl_deliver {
#FASTLY deliver
  unset resp.http.Cache-Tag;
  unset resp.http.X-Served-By;
  unset resp.http.Via;
  return(deliver);
}
