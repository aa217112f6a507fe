"""Objects: ids, parents, reading, writing, deleting, timestamps: specification §2."""

from __future__ import annotations

from typing import Iterator

from ..steps import NS, Step, delete, get, head, patch, post, put, request
from .base import B, C, G, R, Case, bucket, collection, records

_BAD_IDS = ("_bad", "-bad", "a.b", "a+b", "%20", "a%20b", "%C3%A9", "a:b", "a@b", "a%0A", "a,b",
            "Z" * 200, "0", "a_", "A-1", "*", "a*", "%25", "~")
_ALL = ("core", "schema", "paginate", "history")


def cases() -> Iterator[Case]:
    """All cases of this file."""
    yield Case("ids in URLs (T108)", list(_ids()))
    yield Case("ids in bodies (T107)", list(_ids_in_bodies()))
    yield Case("malformed ids beside other problems", list(_ids_and_more()), _ALL)
    yield Case("malformed ids in bodies beside other problems", list(_posted_and_more()))
    yield Case("missing and malformed parents (T62)", list(_parents()), _ALL)
    yield Case("the life of an object (T16, T17, T18, T30)", list(_life()), _ALL)
    yield Case("POST with an id (T1, T2, T3)", list(_posted_ids()))
    yield Case("tombstones and re-creation (T71)", list(_recreated()), _ALL)
    yield Case("cascades", list(_cascades()), _ALL)
    yield Case("client timestamps (T24 to T28)", list(_client_timestamps()))
    yield Case("timestamps of deletions (T29)", list(_deletion_timestamps()))
    yield Case("clocks (T31, T37)", list(_clocks()), _ALL)
    yield Case("groups (T69, T70)", list(_groups()), ("core", "schema"))
    yield Case("generated ids", [
        post("/buckets"), *collection(), post(f"{B}/collections"), post(G), post(R), post(R, {}),
        get(R), get(f"{R}/<id:{R}>"), patch(f"{R}/<id:{R}>", {"a": 1}), delete(f"{R}/<id:{R}>"),
        get(f"{R}/<id:{R}>"), get(f"{R}?_since=0"), get(f"{B}/collections"), get(G)])
    yield Case("values as they are stored", list(_values()))


def _ids() -> Iterator[Step]:
    yield from collection()
    for one in _BAD_IDS:
        for path in (f"/buckets/{one}", f"{B}/collections/{one}", f"{G}/{one}", f"{R}/{one}"):
            yield get(path)
            yield get(path, user="alice")
            yield put(path, user=None)
            yield put(path, {"a": 1})
            yield patch(path, {"a": 1})
            yield delete(path)
            yield delete(path, user="alice")


def _ids_in_bodies() -> Iterator[Step]:
    yield from records({})
    for value in ("", "_bad", "a b", "r1", "r2", None, 1, 1.5, True, [], {}, "A" * 100, "a\n", "é"):
        yield post(R, {"id": value})
        yield post("/buckets", {"id": value}, user="alice")
        yield put(f"{R}/r1", {"id": value})
        yield patch(f"{R}/r1", {"id": value})
        yield put(f"{R}/new", {"id": value})
        yield put(B, {"id": value})
        yield put(f"{B}/collections/c9", {"id": value})
        yield put(f"{G}/g9", {"id": value, "members": []})


def _ids_and_more() -> Iterator[Step]:
    yield from collection()
    bodies = (b"{", b"3", {"foo": 1}, {"data": 3}, {}, {"data": {"id": "x"}}, {"permissions": {"bogus": []}})
    headers = ({"If-Match": "bad"}, {"If-None-Match": "bad"}, {"If-Match": "*"}, {"Accept": "text/html"},
               {"Response-Behavior": "LIGHT"}, {"Content-Type": "text/plain"})
    for path in (f"{R}/_bad", f"{G}/_bad", f"{B}/collections/_bad", "/buckets/_bad",
                 f"{B}/collections/unknown/records/_bad", f"{B}/collections/_worse/records/_bad"):
        for user in ("mat", "alice", None):
            for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE"):
                for body in bodies:
                    yield request(method, path, body, user=user)
                for one in headers:
                    yield request(method, path, {"data": {}}, user=user, headers=one)
        for body in ([], {}, [1], [{"op": "x"}], [{"op": "remove", "path": "/data/a"}]):
            yield request("PATCH", path, body, headers={"Content-Type": "application/json-patch+json"})


def _posted_and_more() -> Iterator[Step]:
    yield from records({"n": 1})
    for path in (R, G, f"{B}/collections", "/buckets", f"{B}/collections/unknown/records"):
        for user in ("mat", "alice", None):
            for value in ("_bad", "", None, 3, [], {}, True, "r1", "fine"):
                yield post(path, {"id": value}, user=user)
                yield request("POST", path, {"data": {"id": value}, "foo": 1}, user=user)
                yield post(path, {"id": value}, {"bogus": []}, user=user)
            for value in ("_bad", None, 3):
                for one in ({"If-Match": "bad"}, {"Accept": "text/html"}, {"Content-Type": "text/plain"}):
                    yield post(path, {"id": value}, user=user, headers=one)
        yield request("POST", path, [["_bad"]])
        yield request("POST", path, {"data": ["_bad"]})
        yield request("POST", path, {"data": {"id": "_bad", "members": 3, "schema": 3}})


def _parents() -> Iterator[Step]:
    yield from collection()
    parents = (f"{B}/collections/unknown/records", f"{B}/collections/_bad/records",
               "/buckets/_bad/collections", "/buckets/_bad/groups", "/buckets/unknown/collections",
               "/buckets/unknown/groups", "/buckets/unknown/collections/c/records",
               "/buckets/_bad/collections/_worse/records")
    for path in parents:
        for user in ("mat", "alice", None):
            yield get(path, user=user)
            yield head(path, user=user)
            yield post(path, {}, user=user)
            yield delete(path, user=user)
            for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE"):
                body = {"data": {}} if method in ("PUT", "PATCH") else None
                step = request(method, f"{path}/x", user=user)
                yield step if body is None else request(method, f"{path}/x", body, user=user)


def _life() -> Iterator[Step]:
    for parents, path in (([], B), (bucket(), C), (bucket(), f"{G}/g"), (collection(), f"{R}/x")):
        yield from parents
        plural = path.rsplit("/", 1)[0]
        yield put(path, {"a": 1, "b": {"c": [1, None]}})
        yield get(path)
        yield head(path)
        yield get(path, headers={"If-None-Match": f"<etag:{path}>"})
        yield put(path, {"z": 1})
        yield get(path)
        yield put(path)
        yield get(path)
        yield put(path, {"z": 2}, {})
        yield put(path, {"z": 2}, {"read": ["system.Everyone"]})
        yield put(path, {"z": 3}, {"write": ["<user:alice>"]})
        yield get(path)
        yield get(path, user="alice")
        yield put(path, {"z": 4}, user="alice")
        yield put(path, {"z": 4}, {"read": []}, user="alice")
        yield request("PUT", path, {"data": {}, "permissions": {"read": None}})
        yield patch(path, {"b": None})
        yield patch(path, {"b": {"d": 1}}, {"read": ["a", "b", "a"]})
        yield patch(path, permissions={"read": []})
        yield patch(path, {})
        yield get(plural)
        yield head(plural)
        yield get(f"{plural}?_since=<ts:{path}>")
        yield delete(path)
        yield delete(path)
        yield get(path)
        yield patch(path, {})
        yield get(plural)
        yield get(f"{plural}?_since=0")
        yield put(path, {"again": True})
        yield get(f"{plural}?_since=0")
        yield delete(f"{plural}?id=%22{path.rsplit('/', 1)[1]}%22")


def _posted_ids() -> Iterator[Step]:
    yield from records({"n": 1}, {"n": 2})
    yield post(R, {"id": "r1", "n": 9})
    yield get(f"{R}/r1")
    yield post(R, {"id": "r1", "n": 9}, {"read": ["system.Everyone"]})
    yield request("POST", R, {"data": {"id": "r1"}, "foo": 1})
    yield patch(C, permissions={"record:create": ["<user:alice>"]})
    yield post(R, {"id": "r1", "n": 9}, user="alice")
    yield post(R, {"id": "r3", "n": 9}, user="alice")
    yield post(R, {"id": "r3", "n": 10}, user="alice")
    yield get(R, user="alice")
    yield get(f"{R}/r1", user="alice")
    yield delete(f"{R}/r1")
    yield post(R, {"id": "r1", "n": 9})
    yield get(f"{R}?_since=0")
    yield post(f"{B}/collections", {"id": "c", "x": 1})
    yield post("/buckets", {"id": f"b{NS}", "x": 1})
    yield post("/buckets", {"id": f"b{NS}", "x": 1}, user="alice")
    yield post(G, {"id": "g", "members": ["a"]})
    yield post(G, {"id": "g", "members": ["b"]})


def _recreated() -> Iterator[Step]:
    yield from records({"n": 1}, {"n": 2})
    yield put(f"{G}/g", {"members": ["<user:alice>"]})
    yield delete(f"{R}/r2")
    yield delete(B)
    for path in (B, C, R, f"{R}/r1", G, f"{G}/g"):
        yield get(path)
        yield get(path, user="alice")
    yield put(B)
    yield get(f"{B}/collections")
    yield get(f"{B}/collections?_since=0")
    yield get(f"{G}?_since=0")
    yield put(C)
    yield get(R)
    yield get(f"{R}?_since=0")
    yield head(f"{R}?_since=0")
    yield put(f"{R}/r1", {"n": 3})
    yield get(f"{R}?_since=0")
    yield delete(C)
    yield get(f"{B}/collections?_since=0")
    yield put(C)
    yield get(f"{R}?_since=0")
    yield get(f"{B}/collections?_since=0")


def _cascades() -> Iterator[Step]:
    yield from records({}, {})
    yield put(f"{B}/collections/d")
    yield put(f"{B}/collections/d/records/x", {})
    yield put(f"{G}/g", {"members": []})
    yield delete(f"{B}/collections?id=d")
    yield get(f"{B}/collections/d/records")
    yield delete(f"{B}/collections")
    yield get(R)
    yield get(f"{B}/collections?_since=0&_sort=id")
    yield delete(G)
    yield get(f"{G}?_since=0")
    yield delete("/buckets")
    yield get("/buckets")
    yield get(B)


def _client_timestamps() -> Iterator[Step]:
    yield from records({"n": 1})
    yield get(R)
    for value in (f"<ts:{R}>", f"<ts:{R}+1000000>", f"<ts:{R}-2000000>", 1, 0, 1234567890123, "123",
                  1.5, None, True, [], 9999999999999, 2**53 - 1, 2**53, 2**63, 2**64, -1, 1e3,
                  f"<etag:{R}>"):
        yield get(R)
        yield post(R, {"last_modified": value, "a": 1})
        yield get(f"{R}?_sort=last_modified&_fields=last_modified")
        yield head(R)
    yield from records({"n": 1})
    for index, value in enumerate((1500000000000, 1500000000000, 1400000000000)):
        yield post(R, {"id": f"old{index}", "last_modified": value})
        yield put(f"{R}/older{index}", {"last_modified": value})
        yield get(R)
    yield put(f"{R}/r1", {"last_modified": 1})
    yield put(f"{R}/r1", {"last_modified": f"<ts:{R}/r1-1000>"})
    yield patch(f"{R}/r1", {"last_modified": f"<ts:{R}/r1>"})
    yield patch(f"{R}/r1", {"last_modified": f"<ts:{R}/r1+5000000>"})
    yield get(R)
    yield put(f"{R}/r2", {})
    yield patch(f"{R}/old0", {"last_modified": f"<ts:{R}/old0+1000>"})
    yield get(f"{R}/old0")
    yield get(R)
    yield put("/buckets/" + f"t{NS}", {"last_modified": 1500000000000})
    yield put(C, {"last_modified": 1500000000000})
    yield put(f"{B}/collections/new", {"last_modified": 1500000000000})
    yield get(f"{B}/collections")


def _deletion_timestamps() -> Iterator[Step]:
    for index, value in enumerate(("1", f"<ts:{R}/r1+1000000>", "0", f"<etag:{R}/r1+5000000>", "-1",
                                   "", "99999999999999999999", "1.5", "9007199254740993")):
        yield from records({"n": 1})
        yield delete(f"{R}/r1?last_modified={value}")
        yield get(f"{R}?_since=0")
        yield head(R)
    for value in ("abc", "%22abc%22", "null", "true"):
        yield from records({"n": 1})
        yield delete(f"{R}/r1?last_modified={value}")


def _clocks() -> Iterator[Step]:
    yield from collection()
    for path in (R, G, f"{B}/collections", "/buckets"):
        yield get(path)
        yield get(path)
        yield head(path)
        yield delete(f"{path}?n=1")
        yield get(path)
        yield get(path, headers={"If-None-Match": f"<etag:{path}>"})
    yield put(f"{R}/a", {})
    yield get(R)
    yield put(f"{R}/a", {})
    yield put(f"{R}/a", {})
    yield get(R)
    yield delete(R)
    yield delete(R)
    yield get(R)
    yield get(f"{R}?_since=<ts:{R}>")


def _groups() -> Iterator[Step]:
    yield from collection()
    members = ([], ["a"], ["<user:alice>"], ["a", "a"], ["system.Everyone"], ["system.Authenticated"],
               ["/buckets/x"], [f"/buckets/b{NS}/groups/g"], None, "x", [1], [None], [["a"]], {}, 3,
               [""], ["a", "/buckets/", "system.Everyone", 4])
    for value in members:
        yield put(f"{G}/g", {"members": value})
        yield post(G, {"members": value})
        yield patch(f"{G}/g", {"members": value})
        yield get("/", user="alice")
    for body in ({}, {"data": {}}, {"data": {"x": 1}}, {"permissions": {"read": ["a"]}}):
        yield request("PUT", f"{G}/g", body)
        yield request("POST", G, body)
        yield request("PUT", f"{G}/fresh", body)
        yield delete(f"{G}/fresh")
    yield put(f"{G}/g", {"members": ["<user:alice>"]})
    yield patch(C, permissions={"write": [f"{G}/g"]})
    yield put(f"{R}/x", {}, user="alice")
    yield get(C, user="alice")
    yield patch(f"{G}/g", {"members": []})
    yield put(f"{R}/x", {}, user="alice")
    yield put(f"{R}/y", {}, user="alice")
    yield patch(f"{G}/g", {"members": ["<user:alice>"]})
    yield put(f"{R}/y", {}, user="alice")
    yield delete(f"{G}/g")
    yield put(f"{R}/z", {}, user="alice")
    yield get(C)
    yield put(f"{G}/g", {"members": ["<user:alice>"]})
    yield put(f"{R}/z", {}, user="alice")
    yield delete(G)
    yield put(f"{R}/z", {}, user="alice")


def _values() -> Iterator[Step]:
    yield from collection()
    values: list[object] = [
        1, 1.0, -0.0, 0.1, 1e22, 1e-7, 12345678901234567890, 2**63, -(2**63), 1e308, 123456789.123,
        True, None, "", "é", "\U0001f600", "\u2028", 'a"b\\c/d', "\x7f", "\t\n", [], {}, [[]],
        {"a": {"b": [1, {"c": None}]}}, {"": 1}, {"a.b": 1}, {"é": 1}, "x" * 2000, "\u0001", "1",
        "<script>&", 3.0e0, 1e2, 5e-324, 0.30000000000000004, "deleted"]
    for value in values:
        yield put(f"{R}/v", {"v": value})
        yield get(f"{R}/v")
        yield head(f"{R}/v")
        yield get(f"{R}?_fields=v")
    for raw in (b'{"data":{"v":1.0}}', b'{"data":{"v":1e2}}', b'{"data":{"v":1.50}}',
                b'{"data":{"v":-0}}', b'{"data":{"v":100000000000000000000000}}',
                b'{"data":{"a":1,"a":2}}', b'{"data":{"v":"\\ud83d\\ude00"}}',
                b'{"data":{"v":"\\u0000"}}', b'{"data":{"v":1E400}}', b'{"data":{"v":NaN}}',
                b'{"data":{"deleted":true}}', b'{"data":{"v":18446744073709551616}}',
                b'{"data":{"v":9223372036854775808}}', b'{"data":{"v":1.0e1}}'):
        yield request("PUT", f"{R}/v", raw)
        yield get(f"{R}/v")
        yield head(f"{R}/v")
        yield get(f"{R}?deleted=true")
