# Fastly, after docs/spec/remote-settings.md, section 3.8 (numbers in brackets), and docs/cdn.md. For a
# service with custom VCL whose backends are the readers; "Shielding" makes one POP ask for all. Not
# tried on Fastly: reviewed only; `deploy/varnish/countersign.vcl` is the same in Varnish's own words,
# and is tried. The macros stay where Fastly wants them.
#
# Purges come by API (purge.<name>.kind = "fastly"): Fastly reads the readers' `Surrogate-Key` and takes
# it away from what clients get.

sub vcl_recv {
#FASTLY recv

  # [7]
  if (req.method !~ "^(GET|HEAD|OPTIONS|FASTLYPURGE)$") {
    error 405 "Method Not Allowed";
  }
  # Health, version and metrics are for those behind the cache.
  if (req.url.path ~ "^(/v[12])?/__" && req.url.path !~ "^/v[12]/__broadcasts__$") {
    error 404 "Not Found";
  }
  if (req.method == "OPTIONS" || req.url.path ~ "^/v[12]/__broadcasts__$") {
    return(pass);
  }

  # [1] Once, at the POP that the client talks to: behind the shield it is done already.
  if (fastly.ff.visits_this_service == 0) {
    set req.url = querystring.filter_except(req.url,
      "_expected" querystring.filtersep() "_since" querystring.filtersep() "_limit"
      querystring.filtersep() "bucket" querystring.filtersep() "collection");
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

  # [2] Fastly has made br or gzip of Accept-Encoding. With a dictionary there is dcz as well: where readers
  # have differences, and for what can be the name of a dictionary. All else would be entries of no use.
  # At the shield, the POP has done it.
  if (req.url.path ~ "/changeset$" && req.url.qs !~ "(^|&)(_since|_limit)="
      && req.http.Available-Dictionary ~ "^:[A-Za-z0-9+/]{43}=:$"
      && (req.http.Accept-Encoding == "dcz, br, gzip"
        || req.http.Fastly-Orig-Accept-Encoding
          ~ "(?i)(^|[ ,])dcz($|[ ,]|;(?! *q=0(\.0*)?($|[ ,])))")) {
    set req.http.Accept-Encoding = "dcz, br, gzip";
  } else {
    unset req.http.Available-Dictionary;
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
  set beresp.stale_while_revalidate = 60s;
  set beresp.stale_if_error = 86400s;
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
