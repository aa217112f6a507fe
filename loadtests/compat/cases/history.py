"""The history plug-in: specification §7.2."""

from __future__ import annotations

from typing import Iterator

from ..steps import NS, Step, delete, follow, get, head, patch, post, put, request
from .base import B, C, G, R, Case
from .batches import batch

H = f"{B}/history"
S = f"{B}/snapshot/collections"
_BOTH = ("history", "trimmed-history")


def cases() -> Iterator[Case]:
    """All cases of this file."""
    yield Case("entries (T94, T95)", list(_entries()), _BOTH)
    yield Case("filters of history (T97, T98)", list(_filters()), _BOTH)
    yield Case("who reads history (T96)", list(_readers()), ("history",))
    yield Case("deletion of history", list(_deletion()), ("history",))
    yield Case("snapshots", list(_snapshots()), ("history",))
    yield Case("history of batches and lists", list(_many()), ("history",))
    yield Case("trimming and exclusion", list(_trimming()), ("trimmed-history",))
    yield Case("methods of history", [
        put(B), *(request(method, path) for method in ("POST", "PUT", "PATCH", "OPTIONS", "HEAD", "GET")
                  for path in (H, f"{H}/x", f"{S}/c@1", "/buckets/_bad/history", "/buckets/none/history")),
        *(get(path, user=user) for user in ("alice", None)
          for path in (H, "/buckets/none/history", "/buckets/_bad/history", f"{S}/c@1"))], _BOTH)


def _entries() -> Iterator[Step]:
    yield put(B, {"x": 1})
    yield get(H)
    yield put(C, {"y": 1}, {"read": ["system.Everyone"]})
    yield put(f"{G}/g", {"members": ["<user:alice>"]})
    yield put(f"{R}/r1", {"n": 1})
    yield put(f"{R}/r1", {"n": 1})
    yield put(f"{R}/r1", {"n": 2}, {"write": ["<user:alice>"]})
    yield patch(f"{R}/r1", {"n": 3}, user="alice")
    yield patch(f"{R}/r1", permissions={"read": ["bob"]})
    yield post(R, {"id": "r1", "n": 9})
    yield post(R, {"id": "r2", "n": 9})
    yield delete(f"{R}/r1")
    yield put(f"{R}/r1", {"n": 5})
    yield get(H)
    yield head(H)
    yield delete(C)
    yield get(H)
    yield delete(f"{G}/g")
    yield patch(B, {"x": 2})
    yield get(f"{H}?_sort=last_modified")
    yield get(H, headers={"If-None-Match": f"<etag:{H}>"})
    yield get(H, headers={"If-Match": '"1"'})
    yield put(f"{R}/r1", {"n": 5})
    yield put(f"{R}/bad", 3)
    yield get(H)
    yield delete(B)
    yield get(H)
    yield put(B)
    yield get(H)
    yield get(f"{H}?_since=0")


def _filters() -> Iterator[Step]:
    yield put(B)
    yield put(C)
    yield put(f"{R}/1", {"n": 1})
    yield put(f"{R}/2", {"n": 2})
    yield patch(f"{R}/1", {"n": 3})
    yield delete(f"{R}/2")
    yield put(f"{G}/g", {"members": ["a"]})
    for query in ("record_id=1", "record_id=%221%22", "collection_id=c", f"bucket_id=b{NS}", "resource_name=record", "action=delete",
                  "action=update&resource_name=record", "target.data.n=1", "target.data.id=%221%22", "gt_target.data.n=1", "foo=1",
                  "foo.bar=1", "user_id=<user:mat>", "user_id=x", f"uri={R}/1", "like_uri=*records*", "_fields=action", "_fields=foo",
                  "_fields=target.data.n", "_sort=action", "_sort=foo", "_sort=-uri,action", "_limit=2", "_since=0", f"_since=<ts:{R}/1>",
                  "_before=1", "has_record_id=true", "in_action=create,delete", "in_record_id=1,2", "not_record_id=1", "group_id=g",
                  "date=1", "gt_date=2000", "contains_target.permissions.write=x", "_since=abc", "id=x", "id=1", "like_action=cre*",
                  "exclude_resource_name=record,group", "target.permissions.read=1", "target=1", "min_record_id=1", "last_modified=5"):
        yield get(f"{H}?{query}")
    first = get(f"{H}?_limit=2")
    yield first
    for _ in range(4):
        yield follow(first)
    first = get(f"{H}?_limit=2&_sort=action&_fields=uri")
    yield first
    for _ in range(4):
        yield follow(first)


def _readers() -> Iterator[Step]:
    yield put(B)
    yield put(C)
    yield put(f"{R}/r1", {"n": 1})
    yield get(H, user="alice")
    yield put(f"{R}/r1", {"n": 2}, {"read": ["<user:alice>"]})
    yield get(H, user="alice")
    yield put(f"{R}/r2", {"n": 2})
    yield put(f"{R}/r1", {"n": 3}, {"read": ["x"]})
    yield put(f"{R}/r1", {"n": 4})
    yield get(H, user="alice")
    yield get(f"{H}?_since=0&_limit=1", user="alice")
    yield patch(C, permissions={"read": ["system.Everyone"]})
    yield put(f"{R}/r3", {"n": 4})
    yield get(H, user="bob")
    yield get(H, user=None)
    yield put(f"{G}/g", {"members": ["<user:bob>"]})
    yield patch(f"{R}/r2", permissions={"write": [f"{G}/g"]})
    yield patch(f"{R}/r2", {"z": 1}, user="bob")
    yield get(H, user="bob")
    yield delete(H, user="bob")
    yield patch(B, permissions={"read": ["<user:alice>"]})
    yield get(H, user="alice")
    yield delete(H, user="alice")
    yield delete(f"{R}/r2")
    yield get(H, user="bob")


def _deletion() -> Iterator[Step]:
    yield put(B)
    yield put(C)
    yield put(f"{R}/r1", {"n": 1})
    yield put(f"{R}/r1", {"n": 2})
    yield delete(f"{H}?action=update")
    yield get(H)
    yield get(f"{H}?_since=0&_sort=action")
    yield delete(f"{H}?foo=1")
    yield delete(H)
    yield get(H)
    yield head(H)
    yield put(f"{R}/r1", {"n": 3})
    yield get(H)


def _snapshots() -> Iterator[Step]:
    yield put(B)
    yield put(C)
    yield put(f"{R}/r1", {"n": 1})
    yield put(f"{R}/r2", {"n": 1})
    yield get(f"{S}/c@<ts:{R}/r2>")
    yield get(R)
    yield put(f"{R}/r1", {"n": 2})
    yield delete(f"{R}/r2")
    yield put(f"{R}/r3", {"n": 1})
    for at in (f"<ts:{R}>", f"<ts:{R}/r1>", f"<ts:{R}/r2>", f"<ts:{R}/r3>", "0", "1", "99999999999999", "abc", "-1", "", "1.5", "1@2",
               "%221%22", "null"):
        yield get(f"{S}/c@{at}")
        yield head(f"{S}/c@{at}")
    yield get(f"{S}/unknown@1")
    yield get(f"{S}/_bad@1")
    yield get(f"/buckets/none/snapshot/collections/c@1")
    yield get(f"{S}/c")
    yield post(f"{S}/c@1")
    yield get(f"{S}/c@<ts:{R}>", user="alice")
    yield get(f"{S}/c@<ts:{R}>", user=None)
    yield patch(C, permissions={"read": ["<user:alice>"]})
    yield get(f"{S}/c@<ts:{R}>", user="alice")
    yield get(f"{S}/c@<ts:{R}>?_fields=n&_limit=1")


def _many() -> Iterator[Step]:
    yield put(B)
    yield put(C)
    yield batch([{"method": "PUT", "path": f"{R}/r{n}", "body": {"data": {"n": n}}} for n in range(4)])
    yield get(f"{H}?_sort=record_id,last_modified")
    yield delete(f"{R}?gt_n=1")
    yield get(f"{H}?_sort=record_id,last_modified")
    yield batch([{"method": "PUT", "path": f"{R}/r0", "body": {"data": {"n": 9}}}, {"method": "DELETE", "path": f"{R}/r0"},
                 {"method": "PUT", "path": f"{R}/r0", "body": {"data": {"n": 10}}}, {"method": "PUT", "path": f"{B}/collections/d"}])
    yield get(f"{H}?_sort=uri,last_modified&_fields=action,uri,target.data.n")
    yield delete(f"{B}/collections")
    yield get(f"{H}?_sort=uri,last_modified&_fields=action,uri")


def _trimming() -> Iterator[Step]:
    bucket, secret = "/buckets/b", "/buckets/b/collections/secret"
    yield put("/buckets/x")
    yield get("/buckets/x/history")
    yield put(bucket)
    yield put(secret)
    yield put(f"{secret}/records/r", {})
    yield put(f"{bucket}/collections/open")
    for number in range(9):
        yield put(f"{bucket}/collections/open/records/r", {"n": number})
        yield get(f"{bucket}/history?_fields=uri,target.data.n,action&_sort=-last_modified")
    yield delete(secret)
    yield delete(f"{bucket}/collections/open")
    yield get(f"{bucket}/history")
    yield get(f"{bucket}/history?_since=0")
