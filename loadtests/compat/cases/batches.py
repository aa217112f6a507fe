"""Batches: specification §6."""

from __future__ import annotations

from typing import Any, Iterator

from ..steps import Step, get, head, put, request
from .base import B, C, G, R, Case, collection, records


def cases() -> Iterator[Case]:
    """All cases of this file."""
    yield Case("malformed batches (T86)", [*collection(), *_malformed()])
    yield Case("sub-requests (T84, T87, T89)", list(_kinds()), ("core", "paginate", "schema", "history"))
    yield Case("inherited headers (T88)", list(_inherited()))
    yield Case("everything in one batch", list(_tree()), ("core", "schema", "history"))
    yield Case("defaults", list(_defaults()))
    yield Case("groups stay in a batch", list(_groups()))
    yield Case("a flush in its turn", list(_flush()))
    yield Case("permissions in their turn", list(_permissions()), ("schema",))
    yield Case("batches of anonymous and others", [
        *collection(permissions={"read": ["system.Everyone"]}),
        *(batch([_one("GET", R), _one("PUT", f"{R}/x", {"data": {}}), _one("GET", "/")], user=user)
          for user in ("alice", None))])
    yield Case("304 in a batch", [
        *records({}), get(R), batch([_one("GET", R, headers={"If-None-Match": f"<etag:{R}>"})])])
    yield Case("paths of sub-requests", [
        *collection(), *(batch([_one("GET", path)]) for path in (
            "/", "/v1/", "/v1", "/v2/x", "/v1buckets", f"{B}/", f"{B}?a=1", f"{B}#x", "//", "/%20", "/buckets/%C3%A9",
            "/__heartbeat__", "/__lbheartbeat__", f"/v1{C}", "/BUCKETS", f"{R}?_limit=1", f"{R}?_since=%22abc%22",
            "/buckets/batch-jobs", "/batches", "/nothing/", "/v0/", f"{R}?x=/batch"))])


def batch(requests: Any, user: str | None = "mat", headers: dict[str, str] | None = None, **more: Any) -> Step:
    """A batch of these sub-requests."""
    return request("POST", "/batch", {"requests": requests, **more}, user=user, headers=headers or {})


def _one(method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
    one: dict[str, Any] = {"method": method, "path": path}
    if body is not None:
        one["body"] = body
    if headers:
        one["headers"] = headers
    return one


ALICE = {"Authorization": "Basic YWxpY2U6c2VjcmV0"}


def _groups() -> Iterator[Step]:
    members = {"data": {"members": ["<user:alice>"]}}
    reads = _one("GET", C, headers=ALICE)
    yield batch([_one("PUT", B), reads, _one("PUT", f"{G}/g", members),
                 _one("PUT", C, {"permissions": {"read": [f"{G}/g"]}}), reads])
    yield get(C, user="alice")
    yield batch([_one("PUT", f"{G}/g", {"data": {"members": []}}), reads])
    yield get(C, user="alice")


def _flush() -> Iterator[Step]:
    yield from records({})
    yield batch([_one("PUT", "/buckets/other"), _one("POST", "/__flush__"), _one("GET", B), _one("PUT", B),
                 _one("PUT", C), _one("GET", R), _one("GET", "/buckets/other")])
    yield get("/buckets")
    yield get(R)


def _permissions() -> Iterator[Step]:
    shown = _one("GET", "/permissions?_fields=uri,permissions&_sort=uri")
    yield batch([shown, _one("PUT", B), shown, _one("PUT", C), _one("DELETE", B), shown])


def _malformed() -> Iterator[Step]:
    bodies: tuple[Any, ...] = (
        {}, {"requests": None}, {"requests": {}}, {"requests": "x"}, {"requests": []}, {"requests": [{}]},
        {"requests": [1]}, {"requests": [{"path": "/"}], "x": 1}, {"requests": [{"path": "x"}]}, [], 3, None,
        {"requests": [{"path": ""}]}, {"requests": [{"path": 1}]}, {"requests": [{"path": None}]},
        {"requests": [{"method": "get", "path": "/"}]}, {"requests": [{"method": "BREW", "path": "/"}]},
        {"requests": [{"method": "OPTIONS", "path": "/"}]}, {"requests": [{"method": None, "path": "/"}]},
        {"requests": [{"path": "/batch"}]}, {"requests": [{"path": B, "headers": {"X": 1}}]},
        {"requests": [{"path": B, "headers": []}]}, {"requests": [{"path": B, "headers": None}]},
        {"requests": [{"path": B, "body": []}]}, {"requests": [{"path": B, "body": "x"}]},
        {"requests": [{"path": B, "body": None}]}, {"requests": [{"path": B, "foo": 1}]}, {"defaults": {}},
        {"requests": [{"path": "/"}] * 25}, {"requests": [{"path": "/"}] * 26}, {"defaults": {"path": "/"}},
        {"defaults": 3, "requests": [{"path": "/"}]}, {"defaults": None, "requests": [{"path": "/"}]},
        {"defaults": {"foo": 1}, "requests": [{"path": "/"}]}, {"defaults": {"path": "/"}, "requests": [{}]},
        {"defaults": {"method": "x"}, "requests": [{"path": "/"}]}, {"requests": [{"path": "/"}, {"path": 1}]},
        {"requests": [{"method": "TRACE", "path": "/"}]}, {"requests": [{"path": "/", "method": "HEAD"}]},
    )
    for body in bodies:
        yield request("POST", "/batch", body)
        yield request("POST", "/batch", body, user=None)
    for raw in (b"", b"{", b"null"):
        yield request("POST", "/batch", raw)


def _kinds() -> Iterator[Step]:
    yield from collection()
    yield batch([
        _one("PUT", f"{R}/q1", {"data": {"a": 1}}), _one("GET", f"{R}/q1"), _one("GET", f"{R}/nope"),
        _one("GET", "/nothing"), _one("POST", B), _one("HEAD", R), _one("GET", f"{B}/"), _one("PUT", f"{R}/_bad")])
    yield batch([
        _one("PUT", f"{R}/q2", {"data": 3}), _one("PATCH", f"{R}/q1", {"data": {"b": 1}}), _one("DELETE", f"{R}/q1"),
        _one("DELETE", f"{R}/q1"), _one("GET", f"{R}?_since=0"), _one("GET", "/buckets"),
        _one("GET", B, headers={"Authorization": ""}), _one("POST", R, {"data": {"id": "q3"}})])
    yield batch([
        _one("PUT", f"{R}/q1", {"data": {}}, {"If-Match": '"1"'}), _one("PUT", f"{R}/q1", {"data": {}},
             {"If-None-Match": "*"}), _one("PUT", f"{R}/q1", {"data": {}}, {"if-none-match": "*"}),
        _one("GET", f"{R}/q1", headers={"Accept": "text/html"}), _one("PATCH", f"{R}/q1", {"data": {"x": None}},
             {"Content-Type": "application/merge-patch+json"}), _one("GET", f"{R}?_limit=1")])
    yield get(R)
    yield get(f"{R}?_since=0")


def _inherited() -> Iterator[Step]:
    star = {"If-None-Match": "*"}
    yield from records({})
    yield batch([_one("PUT", f"{R}/r1", {"data": {}}), _one("PUT", f"{R}/n1", {"data": {}}), _one("GET", R)], headers=star)
    yield batch([_one("PUT", f"{R}/r1", {"data": {}}, {"If-None-Match": ""})], headers=star)
    yield batch([_one("PUT", f"{R}/r1", {"data": {}}, {"if-none-match": '"5"'})], headers=star)
    yield batch([_one("PATCH", f"{R}/r1", {"data": {"a": 1}})], headers={"Response-Behavior": "light"})
    yield batch([_one("GET", R)], headers={"Accept": "text/html"})
    yield batch([_one("GET", R)], headers={"Origin": "https://example.com"})
    yield batch([_one("GET", R)], headers={"If-Match": '"1"'})
    yield batch([_one("GET", R)], headers={"If-Match": "bad"})


def _tree() -> Iterator[Step]:
    yield batch([
        _one("PUT", B), _one("PUT", C, {"data": {"x": 1}}), _one("PUT", f"{R}/a", {"data": {"n": 1}}),
        _one("PUT", f"{G}/g", {"data": {"members": ["<user:alice>"]}}), _one("GET", R),
        _one("POST", R, {"data": {"n": 2}}), _one("PATCH", C, {"permissions": {"write": [f"{G}/g"]}})])
    yield put(f"{R}/b", {}, user="alice")
    yield batch([_one("PUT", f"{R}/{n}", {"data": {"n": n}}) for n in range(10)])
    yield get(f"{R}?_sort=last_modified&_fields=n")
    yield batch([_one("DELETE", f"{R}/1"), _one("DELETE", C), _one("GET", R), _one("PUT", f"{R}/2"), _one("PUT", C),
                 _one("GET", R), _one("PUT", f"{R}/2")])
    yield get(R)
    yield batch([_one("DELETE", B), _one("PUT", f"{B}/collections/z"), _one("GET", B), _one("PUT", B)])
    yield head(f"{B}/collections")


def _defaults() -> Iterator[Step]:
    yield from collection()
    yield batch([{"path": f"{R}/d1"}, {"path": f"{R}/d2", "body": {"data": {"b": 2}}}, {"path": f"{R}/d1", "method": "GET"}],
                defaults={"method": "PUT", "body": {"data": {"a": 1}}})
    yield batch([{"path": f"{R}/d1"}], defaults={"headers": {"If-None-Match": "*"}, "method": "PUT"})
    yield batch([{"path": f"{R}/d1", "headers": {"X-Y": "1"}}],
                defaults={"headers": {"If-None-Match": "*"}, "method": "PUT"})
    yield batch([{"path": f"{R}/d3", "body": {"data": {"a": {"c": 1}}}}],
                defaults={"method": "PUT", "body": {"data": {"a": {"b": 1}}, "permissions": {"read": ["x"]}}})
    yield get(f"{R}?_sort=id")
