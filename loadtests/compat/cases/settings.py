"""What settings change: specification §1.7.3, §1.8, §1.9, §1.10, §1.13, §4.8."""

from __future__ import annotations

from typing import Iterator

from ..steps import Step, delete, get, head, patch, post, put, request
from .base import B, C, G, R, Case, records
from .batches import batch


def cases() -> Iterator[Case]:
    """All cases of this file."""
    yield Case("prepare", [
        put("/buckets/b"), put("/buckets/b/collections/c", {}, {"read": ["system.Everyone"]}),
        put("/buckets/b/collections/c/records/r", {"n": 1}), put("/buckets/b/collections/c/records/s", {"n": 2}),
        delete("/buckets/b/collections/c/records/s"), put("/buckets/b/groups/g", {"members": ["<user:alice>"]}),
        get("/buckets/b/collections/c/records")], ("readonly",), prepares=True)
    yield Case("read-only server (T79)", list(_readonly()), ("readonly",))
    yield Case("cache headers (T82, T83)", list(_cache()), ("headers", "core"))
    yield Case("methods that are switched off (T114)", [
        *records({}), patch(f"{R}/r1", {"a": 1}), patch(f"{R}/nope", {"a": 1}), request("OPTIONS", f"{R}/r1"), request("BREW", f"{R}/r1"),
        get(G), head(G), post(G), request("PUT", G), batch([{"method": "PATCH", "path": f"{R}/r1", "body": {"data": {}}}])], ("headers",))
    yield Case("ACLs of the settings (T68)", list(_acls()), ("acls", "write-acls"))
    yield Case("a scheme and host of its own", [*records({}, {}), get(f"{R}?_limit=1"), get("/"), get(f"{R}/"), get("!/buckets")], ("headers",))
    yield Case("backoff and alert everywhere", [
        *records({}), get(f"{R}/r1", headers={"If-None-Match": f"<etag:{R}/r1>"}), get("/nope"), get("/nope/"), put(f"{R}/x", 3), get(f"{R}?_to=1"),
        get(B, user=None), request("BREW", B), batch([{"path": B}, {"path": "/nope"}]), get("/__heartbeat__"), get("/__lbheartbeat__")], ("headers",))
    yield Case("explicit permissions are off", [
        put(B), get(B), put(C, {}, {"read": ["<user:bob>"]}), get(C, user="bob"), put(f"{R}/r", {}), get(f"{R}/r"), delete(B)], ("write-acls",))
    yield Case("user data with a right to", [delete("/__user_data__/x"), delete("/__user_data__/x", user=None)], ("acls",))


def _readonly() -> Iterator[Step]:
    bucket = "/buckets/b"
    paths = ("/", "/buckets", bucket, f"{bucket}/collections", f"{bucket}/collections/c", f"{bucket}/collections/c/records", f"{bucket}/groups",
             f"{bucket}/groups/g", f"{bucket}/collections/c/records/r", "/unknown", "/batch", "/__heartbeat__", "/__flush__", "!/buckets",
             f"{bucket}/collections/none/records", f"{bucket}/collections/c/records?_since=0", "/buckets/none", "/buckets/default")
    for path in paths:
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            for user in ("mat", None):
                yield request(method, path, user=user)
    for method in ("PUT", "GET"):
        yield request("OPTIONS", "/buckets", headers={"Origin": "https://x.example", "Access-Control-Request-Method": method})
    records = f"{bucket}/collections/c/records"
    yield get(records, headers={"If-None-Match": f"<etag:{records}>"})


def _cache() -> Iterator[Step]:
    bucket = "/buckets/b"
    everyone = {"read": ["system.Everyone"]}
    yield put(bucket, {}, everyone)
    for name, extra in (("c", {}), ("c2", {}), ("c3", {"cache_expires": 0}), ("c4", {"cache_expires": 3600}), ("c5", {"cache_expires": -1}),
                        ("c6", {"cache_expires": "100"})):
        path = f"{bucket}/collections/{name}"
        yield put(path, extra)
        yield put(f"{path}/records/r", {})
        for user in (None, "mat"):
            for step in (get(path), get(f"{path}/records"), head(f"{path}/records"), get(f"{path}/records/r"), head(f"{path}/records/r"),
                         get(f"{path}/records/none"), get(bucket), get("/buckets"), get(f"{path}/records?_since=0"), put(f"{path}/records/r", {})):
                yield Step(step.method, step.path, user, step.body)
        yield get(f"{path}/records", user=None, headers={"If-None-Match": f"<etag:{path}/records>"})
    yield delete(bucket)


def _acls() -> Iterator[Step]:
    yield put("/buckets/b", {}, {"write": ["<user:bob>"]})
    yield put("/buckets/b", {}, user="alice")
    yield put("/buckets/b", {}, user="bob")
    yield put("/buckets/b/collections/c", user="bob")
    yield put("/buckets/b/collections/c/records/r", user="bob")
    yield put("/buckets/b/groups/g", {"members": []}, user="bob")
    for user in ("mat", "alice", "carol", None):
        for step in (get("/buckets"), get("/buckets/b"), get("/buckets/none"), patch("/buckets/b", {"x": 1}), put("/buckets/new"), get("/buckets/b/collections"),
                     get("/buckets/b/collections/c"), patch("/buckets/b/collections/c", {"x": 1}), put("/buckets/b/collections/new"), post("/buckets"),
                     put("/buckets/none/collections/x"), post("/buckets/b/collections"), get("/buckets/b/groups"), get("/buckets/b/groups/g"), post("/buckets/b/groups"),
                     patch("/buckets/b/groups/g", {"x": 1}), put("/buckets/b/groups/new"), get("/buckets/b/collections/c/records"), get("/buckets/none/collections"),
                     get("/buckets/b/collections/c/records/r"), patch("/buckets/b/collections/c/records/r", {"x": 1}), get("/buckets/b/collections/none/records"),
                     put("/buckets/b/collections/c/records/new"), post("/buckets/b/collections/c/records"), delete("/buckets/b/collections/c/records/none"),
                     post("/buckets/b/collections/c/records", {"id": "r"}), delete("/buckets/b/collections/c/records"), delete("/buckets/b/groups/none"),
                     delete("/buckets/b/collections/none"), delete("/buckets/none"), head("/buckets"), get("/buckets/b"), get("/permissions")):
            yield Step(step.method, step.path, user, step.body)
        yield delete("/buckets/b/groups", user=user)
        yield delete("/buckets/b/collections", user=user)
        yield delete("/buckets", user=user)
