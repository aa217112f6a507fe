"""The default bucket: specification §7.1."""

from __future__ import annotations

from typing import Iterator

from ..steps import Step, delete, get, head, patch, post, put, request
from .base import Case
from .batches import batch

D = "/buckets/default"
_WHERE = ("history",)


def cases() -> Iterator[Case]:
    """All cases of this file."""
    yield Case("default bucket: reading creates (T91)", [
        get("/"), get(f"{D}/collections/new/records"), get("/buckets"), get(D), get(f"{D}/collections"),
        get("/buckets/<bucket:mat>"), get("/buckets/<bucket:mat>/collections/new"), get(f"{D}/history"),
        get(f"{D}/groups"), head(f"{D}/collections/new/records"), get(f"{D}/collections/new/records/nope"),
        get(f"{D}/collections/other"), get(f"{D}/collections/third/"), get(f"{D}/"), get(f"{D}/nope"),
        get("/buckets/<bucket:mat>", user="alice")], _WHERE)
    yield Case("default bucket: PUT (T92)", [
        put(D), put(D), put(D, {"a": 1}), patch(D, {"b": 2}), put(D, {}, headers={"If-None-Match": "*"}), delete(D), get(D),
        delete(D), put(D, {}, headers={"If-None-Match": "*"}), put(D, {"id": "default"}), put(D, {"id": "x"}),
        put(f"{D}/collections/c"), put(f"{D}/collections/c"), put(f"{D}/collections/d", {}, headers={"If-None-Match": "*"}),
        put(f"{D}/collections/d", {}, headers={"If-None-Match": "*"}), get(f"{D}/history?_fields=uri,action")], _WHERE)
    yield Case("default bucket: anonymous (T93)", [
        get(D, user=None), put(D, user=None), get(f"{D}/collections/c/records", user=None), delete(D, user=None),
        request("OPTIONS", D, user=None), request("OPTIONS", f"{D}/collections/c/records", user=None, headers={
            "Origin": "https://example.com", "Access-Control-Request-Method": "PUT"}),
        get(f"{D}/nope", user=None), get("/buckets/default-1", user=None), get(f"{D}/", user=None)], _WHERE)
    yield Case("default bucket: ids", list(_ids()), _WHERE)
    yield Case("default bucket: records", list(_records()), _WHERE)
    yield Case("default bucket: batch", list(_batches()), _WHERE)
    yield Case("default bucket: other methods and errors", [
        request("POST", D), request("BREW", D), put(D, 3), request("PUT", D, b"{"), get(D, headers={"Accept": "text/html"}),
        put(f"{D}/collections/c", {}, headers={"Content-Type": "text/plain"}), get(f"{D}/collections/c/records?_since=abc"),
        get(f"{D}/collections/c/records", headers={"If-None-Match": f"<etag:{D}/collections/c/records>"}),
        delete(f"{D}/collections/gone"), delete(f"{D}/collections/gone/records/x"), delete(f"{D}/collections"), get(f"{D}/collections"),
        patch(f"{D}/collections/p", {"a": 1}), post(f"{D}/collections"), post(f"{D}/groups", {"members": ["<user:alice>"]}),
        put(f"{D}/groups/g", {"members": []}), get(f"{D}/history", user="alice")], _WHERE)


def _ids() -> Iterator[Step]:
    for one in ("_bad", "a.b", "%20", "ok"):
        yield get(f"{D}/collections/{one}/records")
        yield put(f"{D}/collections/{one}")
        yield get(f"{D}/collections/{one}")
        yield put(f"{D}/collections/{one}/records/r", {})
        yield put(f"{D}/groups/{one}")
        yield put(f"{D}/collections/ok/records/{one}")
    yield put("/buckets/default-1")
    yield get("/buckets/default-1/collections")
    yield post("/buckets", {"id": "default"})
    yield put("/buckets/default2", {"id": "default2"})
    yield get("/buckets")


def _records() -> Iterator[Step]:
    records = f"{D}/collections/tasks/records"
    yield post(records, {"title": "a"})
    yield put(f"{records}/r1", {"title": "b"}, {"read": ["<user:alice>"]})
    yield get(records)
    yield head(records)
    yield get(f"{records}/r1")
    yield get("/buckets/<bucket:mat>/collections/tasks/records/r1", user="alice")
    yield get("/buckets/<bucket:mat>/collections/tasks/records", user="alice")
    yield patch(f"{records}/r1", {"title": "c"})
    yield put(f"{records}/r1", {}, headers={"If-None-Match": "*"})
    yield get(f"{records}?_limit=1")
    yield delete(f"{records}/r1")
    yield delete(records)
    yield get(f"{records}?_since=0&_sort=id&_fields=deleted")
    yield put(f"{records}/r1", {}, user="bob")
    yield get(records, user="bob")
    yield get(f"{D}/history?resource_name=record&_fields=uri,action")
    yield delete(D)
    yield get(records)


def _batches() -> Iterator[Step]:
    records = f"{D}/collections/tasks/records"
    yield batch([{"method": "PUT", "path": f"{records}/a", "body": {"data": {"n": 1}}},
                 {"method": "PUT", "path": f"{records}/b", "body": {"data": {"n": 1}}},
                 {"path": records}, {"path": D}, {"path": f"{D}/collections/_bad/records"}, {"path": f"{D}/nope"}])
    yield get(f"{D}/history?_sort=uri&_fields=uri,action")
    yield batch([{"path": records}, {"path": D}], user=None)
    yield batch([{"method": "DELETE", "path": D}, {"path": records}, {"path": D}])
    yield get(D)
