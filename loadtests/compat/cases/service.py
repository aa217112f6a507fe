"""Service-level behaviour: specification §1, §5.1, §5.2."""

from __future__ import annotations

from typing import Iterator

from ..steps import Step, delete, get, head, patch, post, put, request
from .base import B, C, R, Case, collection

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_PATHS = (
    "/", "/nothing", "/nothing/", "/buckets/", "/buckets/b/", "/buckets/b/collections/c/",
    "/__heartbeat__", "/__lbheartbeat__", "/__heartbeat__/", "/batch", "/batch/", "/buckets/b/nope",
    "/buckets/b/groups", "/buckets/b/groups/", "/buckets//", "/buckets/b//collections",
    "/buckets/b/collections/c/records/r/x", "/buckets/a%2Fb", "/buckets/%C3%A9", "/buckets/a b",
    "/__user_data__", "/__user_data__/", "/__user_data__/basicauth:x", "/__counters__",
    "/permissions", "/accounts", "/accounts/x", "/buckets/b/history", "/__version__", "/__api__/",
    "/contribute.json/", "/admin", "/admin/", "/openid/x/login",
)
_UNVERSIONED = (
    "!/", "!/buckets", "!/buckets/?a=b&c=%20", "!/v0/buckets", "!/v2/", "!/v12/foo", "!/v1x",
    "!/v1", "!/v1?a=1", "!//evil.example.com/x", "!/anything", "!/a%0Ab", "!/v", "!/v1/v1/",
    "!/vx/buckets", "!/__heartbeat__", "!/__lbheartbeat__", "!/batch", "!/v1.1/x", "!/v01/buckets",
)
_AUTHORIZATIONS = (
    "", "Basic", "Basic ", "Basic !!!", "Basic bWF0", "Basic OnNlY3JldA==", "Basic bWF0Og==",
    "basic bWF0OnNlY3JldA==", "BASIC bWF0OnNlY3JldA==", "Bearer abc", "Basic bWF0OmE6Yg==",
    "Basic bWF0OnNlY3JldA== x", "garbage", "Basic 6Tp4", "Basic w6k6eA==", "Token abc",
    "Basic bWF0OnNlY3JldA", "Basic bWF0OnNl\tY3JldA==",
)
_ORIGIN = {"Origin": "https://example.com"}


def cases() -> Iterator[Case]:
    """All cases of this file."""
    everywhere = ("core", "headers", "no-redirects", "readonly", "schema", "history", "accounts",
                  "paginate", "acls", "write-acls", "trimmed-history")
    yield Case("hello", [get("/"), get("/", user=None), head("/"), get("/?a=1"),
                         get("/", headers={"Accept": "text/html"})], everywhere)
    some = ("core", "headers", "no-redirects", "readonly", "history", "accounts")
    for method in _METHODS:
        yield Case(f"{method} on every kind of URL", _on_every_url(method), some)
        yield Case(f"{method} without a version (T76, T77)",
                   [request(method, path) for path in _UNVERSIONED], some)
    yield Case("authorization headers (T72)", list(_authorizations()))
    yield Case("CORS", list(_cors()), ("core", "headers", "readonly"))
    yield Case("Accept and Content-Type (T60, T61, T80)", list(_media_types()))
    yield Case("paths that are not UTF-8 (T81)", [
        get("!/v1/%82%AC"), get("!/v1/buckets/%82"), get("!/v1/buckets?a=%82"), get("!/v1/?a=%82"),
        get("!/v1/buckets?%82=1"), get("!/%82%AC"), put("!/v1/buckets/%82", user=None)])
    yield Case("401 and 403 (T63, T65, T73)", [
        get("/buckets/unknown"), get("/buckets/unknown", user=None), get("/buckets"),
        get("/buckets", user=None), head("/buckets", user=None), delete("/buckets", user=None),
        post("/buckets", user=None), put("/buckets/x", user=None), patch("/buckets/x", {}, user=None),
        delete("/buckets/x", user=None), delete("/buckets"), get("/buckets/x/collections"),
        get("/buckets/x/groups", user=None), get("/buckets/x/collections/y/records", user=None)])
    yield Case("user data", [
        delete("/__user_data__/basicauth:x"), delete("/__user_data__/basicauth:x", user=None),
        get("/__user_data__/basicauth:x"), delete("/__user_data__/")])


def _on_every_url(method: str) -> list[Step]:
    skipped = {("POST", "/batch"), ("GET", "/"), ("HEAD", "/"), ("PUT", "/accounts/x")}
    # A version file is the deployment's own.
    skipped |= {("GET", "/__version__"), ("HEAD", "/__version__")}
    return [request(method, path) for path in _PATHS if (method, path) not in skipped]


def _authorizations() -> Iterator[Step]:
    for value in _AUTHORIZATIONS:
        headers = {"Authorization": value}
        yield get("/", headers=headers)
        yield get("/buckets", headers=headers)
    yield get("/", password="")
    yield get("/", password="a:b")
    yield get("/", password="\u00e9")


def _cors() -> Iterator[Step]:
    yield from collection(permissions={"read": ["system.Everyone"]})
    asked = {"Access-Control-Request-Method": "PUT"}
    for path in ("/", B, C, R, f"{R}/x", "/batch", "/unknown", "/unknown/", "/buckets",
                 "/__heartbeat__", "/buckets/b/"):
        yield request("OPTIONS", path)
        yield request("OPTIONS", path, headers=_ORIGIN)
        yield request("OPTIONS", path, headers={**_ORIGIN, **asked})
        for method in ("GET", "POST", "DELETE", "BREW", "HEAD", "PATCH"):
            wanted = {"Access-Control-Request-Method": method,
                      "Access-Control-Request-Headers": "authorization, x-foo"}
            yield request("OPTIONS", path, headers={**_ORIGIN, **wanted}, user=None)
        for origin in ("https://a.example.com", "https://x.example.org", "https://bad.example.com"):
            yield get(path, headers={"Origin": origin})
            yield request("OPTIONS", path, headers={"Origin": origin, **asked})
    for user in ("mat", "alice", None):
        yield get(R, user=user, headers=_ORIGIN)
        yield head(R, user=user, headers=_ORIGIN)
        yield get(f"{R}/unknown", user=user, headers=_ORIGIN)
        yield put(f"{R}/x", {}, user=user, headers=_ORIGIN)
        yield get(f"{R}/x", user=user, headers=_ORIGIN)
        yield get(R, user=user, headers={**_ORIGIN, "If-None-Match": f"<etag:{R}>"})
        yield get(R, user=user, headers={**_ORIGIN, "If-Match": '"1"'})
        yield request("BREW", R, user=user, headers=_ORIGIN)


def _media_types() -> Iterator[Step]:
    yield from collection(permissions={"read": ["system.Everyone"]})
    for accept in ("", "*/*", "application/*", "text/html", "application/json;q=0", "text/*",
                   "application/json; version=1", "application/json;charset=utf-8", "garbage",
                   "text/*, application/*;q=0.5", "text/html, */*;q=0", "application/json, text/html",
                   "APPLICATION/JSON", "*", ",", "application/json;q=x", "application/xml;q=1, */*"):
        for step in (get(R), get("/buckets"), put(f"{R}/a", {}), post("/batch", {}), get("/nope")):
            yield Step(step.method, step.path, step.user, step.body, {"Accept": accept})
    for media in ("text/plain", "", "application/json", "application/json; charset=utf-8",
                  "application/json;charset=latin-1", "APPLICATION/JSON", "application/jsonx",
                  "multipart/form-data", "application/x-www-form-urlencoded", "json",
                  "application/merge-patch+json", "application/json-patch+json", "text/json"):
        headers = {"Content-Type": media}
        for user in ("mat", None):
            yield put(f"{R}/a", {}, user=user, headers=headers)
            yield post(R, {"id": "a"}, user=user, headers=headers)
        yield patch(f"{R}/a", {"a": 1}, headers=headers)
        yield get(R, headers=headers)
        yield delete(f"{R}/unknown", headers=headers)
        yield request("POST", "/batch", {"requests": []}, headers=headers)
    yield put(f"{R}/a", {}, user=None, headers={"Content-Type": "text/plain"})
    yield request("PUT", f"{R}/a", b'{"data', user=None)
    yield request("PUT", f"{R}/a", b'{"data', headers={"Content-Type": "text/plain"})
