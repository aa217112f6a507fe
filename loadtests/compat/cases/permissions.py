"""Who may do what: specification §4. The golden matrix, shared lists, `/permissions`."""

from __future__ import annotations

from typing import Iterator

from ..steps import Step, delete, follow, get, head, patch, post, put
from .base import B, C, G, R, Case, collection, records

_PERMISSIONS = {
    B: ("read", "write", "collection:create", "group:create"),
    C: ("read", "write", "record:create"),
    f"{G}/g": ("read", "write"),
    f"{R}/r": ("read", "write"),
}
_ASKED = (
    get("/buckets"), head("/buckets"), get(B), head(B), get(f"{B}/collections"), head(f"{B}/collections"),
    get(C), get(f"{B}/collections/unknown"), get(G), head(G), get(f"{G}/g"), get(f"{G}/unknown"), get(R),
    head(R), get(f"{R}?_since=0"), get(f"{R}/r"), head(f"{R}/r"), get(f"{R}/unknown"),
    patch(f"{R}/unknown", {}), delete(f"{R}/unknown"), delete(f"{B}/collections/unknown"),
    delete(f"{G}/unknown"), post(R, {"id": "r"}), post(f"{B}/collections", {"id": "c"}),
    post(G, {"id": "g"}), put(f"{R}/r", {}, headers={"If-None-Match": "*"}), put(f"{R}/r", {"x": 1}),
    patch(B, {"x": 1}), patch(C, {"x": 1}), patch(f"{G}/g", {"x": 1}), patch(f"{R}/r", {"x": 1}),
    get(B), get(C), get(f"{G}/g"), get(f"{R}/r"), put(f"{B}/collections/new"), post(f"{B}/collections"),
    put(f"{G}/new"), post(G), put(f"{R}/new"), post(R), delete(R), delete(f"{G}?id=g"),
    delete(f"{B}/collections"), delete("/buckets"), get("/permissions"), head("/permissions"),
)


def cases() -> Iterator[Case]:
    """All cases of this file."""
    where = ("core", "schema", "write-acls", "acls", "history")
    for who in ("<user:alice>", "system.Authenticated", "system.Everyone"):
        yield Case(f"golden matrix: none to {who}", list(_row("", "", who)), where)
        for path, names in _PERMISSIONS.items():
            for name in names:
                kind = path.rsplit("/", 2)[-2]
                yield Case(f"golden matrix: {kind} {name} to {who} (T62 to T68)",
                           list(_row(path, name, who)), where)
    for path, names in _PERMISSIONS.items():
        for name in names:
            kind = path.rsplit("/", 2)[-2]
            yield Case(f"golden matrix by group: {kind} {name}", list(_row_by_group(path, name)))
    yield Case("shared lists", list(_shared()), ("core", "paginate"))
    yield Case("lists of what one may create", list(_create_only()))
    yield Case("permissions endpoint (T119)", list(_endpoint()), ("schema",))
    yield Case("odd principals", list(_odd_principals()))


def _objects(path: str, permission: str, who: str) -> Iterator[Step]:
    yield put(B)
    yield put(C)
    yield put(f"{G}/g", {"members": []})
    yield put(f"{R}/r", {"n": 1})
    if permission:
        yield patch(path, permissions={permission: [who]})


def _row(path: str, permission: str, who: str) -> Iterator[Step]:
    user = None if who == "system.Everyone" else "alice"
    yield from _objects(path, permission, who)
    for step in _ASKED:
        yield Step(step.method, step.path, user, step.body, step.headers)
    if user:
        yield get(R, user=None)
        yield get("/buckets", user=None)


def _row_by_group(path: str, permission: str) -> Iterator[Step]:
    yield from _objects(path, permission, f"{G}/team")
    yield put(f"{G}/team", {"members": ["<user:alice>"]})
    for step in _ASKED:
        yield Step(step.method, step.path, "alice", step.body, step.headers)


def _shared() -> Iterator[Step]:
    yield from records(*({"n": n} for n in range(8)))
    for number in (2, 3, 5, 7, 8):
        yield patch(f"{R}/r{number}", permissions={"read": ["<user:alice>"]})
    yield patch(f"{R}/r4", permissions={"write": ["<user:alice>"]})
    yield put(f"{R}/mine", {"n": 9}, {"write": ["<user:alice>"]})
    for query in ("", "?_sort=n", "?gt_n=3", "?id=r1", "?id=r2", "?in_id=r1,r2", "?exclude_id=r2", "?_since=0",
                  "?_limit=2", "?_fields=n", "?has_n=true&_limit=2&_sort=-n", "?not_id=r3"):
        first = get(R + query, user="alice")
        yield first
        yield head(R + query, user="alice")
        yield get(R + query, user="bob")
        yield first
        for _ in range(3):
            yield follow(first)
    yield get(R, user="alice", headers={"If-None-Match": f"<etag:{R}>"})
    yield put(f"{R}/r1", {"n": 0})
    yield get(R, user="alice")
    yield delete(f"{R}/r2")
    yield get(f"{R}?_since=0", user="alice")
    yield delete(f"{R}?n=1", user="alice")
    yield delete(R, user="alice")
    yield delete(R, user="bob")
    yield get(f"{R}?_sort=id&_since=0")
    yield get(f"{R}?_since=0", user="alice")
    yield put("/buckets/" + B.split("/")[2] + "2", permissions={"read": ["<user:alice>"]})
    yield get("/buckets", user="alice")
    yield get(f"{B}/collections", user="alice")


def _create_only() -> Iterator[Step]:
    yield from collection(permissions={"record:create": ["<user:alice>"]})
    yield put(f"{R}/theirs", {})
    yield get(R, user="alice")
    yield put(f"{R}/own", {}, user="alice")
    yield get(R, user="alice")
    yield head(R, user="alice")
    yield get(f"{R}/theirs", user="alice")
    yield put(f"{R}/theirs", {}, user="alice")
    yield patch(f"{R}/own", {"a": 1}, user="alice")
    yield delete(R, user="alice")
    yield get(f"{R}?_since=0", user="alice")
    yield get(f"{R}?_since=0")
    yield get(C, user="alice")
    yield get(f"{B}/collections", user="alice")
    yield get(B, user="alice")


def _endpoint() -> Iterator[Step]:
    yield from records({"n": 1}, {"n": 2})
    yield put(f"{G}/g", {"members": ["<user:alice>"]})
    yield patch(f"{R}/r1", permissions={"read": ["<user:alice>"]})
    yield patch(C, permissions={"record:create": [f"{G}/g"]})
    yield put(f"{B}/collections/d", {}, {"read": ["system.Everyone"], "write": ["system.Authenticated"]})
    for user in ("mat", "alice", "bob", None):
        yield get("/permissions", user=user)
        yield head("/permissions", user=user)
        for query in ("_sort=uri", "_sort=-id", "resource_name=record", "_fields=uri", "foo=1", "_sort=foo",
                      "_fields=foo", "_limit=2", "id=c", "bucket_id=b", "permissions=1", "_since=1", "like_uri=*c*",
                      "contains_permissions=read", "has_record_id=true", "_since=abc", "in_resource_name=bucket,group"):
            yield get(f"/permissions?{query}", user=user)
        first = get("/permissions?_limit=2&_sort=uri", user=user)
        yield first
        for _ in range(4):
            yield follow(first)
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            yield Step(method, "/permissions", user)
    yield get("/permissions", headers={"If-None-Match": "<etag:/permissions>"})
    yield delete(B)
    yield get("/permissions", user="alice")


def _odd_principals() -> Iterator[Step]:
    for name in ("", " ", "a", "mat", "basicauth:nope", "/buckets/x", "/buckets/nope/groups/g", "system.Nobody",
                 "é", "*", "%", "system.authenticated", "<user:alice> "):
        yield from collection()
        yield put(f"{R}/x", {}, {"read": [name], "write": [name]})
        yield get(f"{R}/x")
        yield get(f"{R}/x", user="alice")
        yield get(f"{R}/x", user=None)
        yield get(R, user="alice")
        yield patch(f"{R}/x", {"a": 1}, user="alice")
