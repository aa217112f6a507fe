"""PATCH in its three forms: specification §2.11."""

from __future__ import annotations

from typing import Any, Iterator

from ..steps import Step, delete, get, patch, put, request
from .base import B, C, G, JSON, JSON_PATCH, MERGE, R, Case, records

_DATA: dict[str, Any] = {"a": 1, "b": {"c": 2, "d": [1, 2]}, "e": [1, 2, 3], "f": None, "g": "x"}

_MERGES: tuple[Any, ...] = (
    {}, {"data": {}}, {"data": {"a": 2}}, {"data": {"a": None}}, {"data": {"b": {"c": None}}},
    {"data": {"b": {"x": {"y": None}}}}, {"data": {"e": [1, None]}}, {"data": {"nope": None}},
    {"data": {"b": 3}}, {"data": {"b": {"d": {"z": 1}}}}, {"data": {"a": {"z": 1}}},
    {"data": {"g": {"z": None}}}, {"data": None}, {"data": []}, {"data": "x"}, [], 3,
    {"permissions": {"read": ["x"]}}, {"permissions": {"read": None}}, {"permissions": None},
    {"permissions": {"write": None}}, {"permissions": {"bogus": ["x"]}}, {"foo": 1},
    {"data": {"id": "other"}}, {"data": {"id": None}}, {"data": {"last_modified": None}},
    {"data": {"last_modified": 1}}, {"data": {"f": None}}, {"data": {"new": {"deep": {"er": 1}}}},
    {"data": {"f": {"z": 1}}}, {"data": {"last_modified": 9999999999999}},
)

_ROOT = "/data"
_PATCHES: tuple[Any, ...] = (
    [], {}, None, "x", 3, [1], [[]], [{}], [{"op": "add"}], [{"path": "/data/a"}],
    [{"op": "add", "path": "/data/a", "value": 5}], [{"op": "add", "path": "/data/new", "value": None}],
    [{"op": "add", "path": "/data/new"}], [{"op": "replace", "path": "/data/a", "value": 5}],
    [{"op": "replace", "path": "/data/nope", "value": 5}], [{"op": "remove", "path": "/data/a"}],
    [{"op": "remove", "path": "/data/nope"}], [{"op": "test", "path": "/data/a", "value": 1}],
    [{"op": "test", "path": "/data/a", "value": 2}], [{"op": "test", "path": "/data/a", "value": "1"}],
    [{"op": "test", "path": "/data/a", "value": 1.0}], [{"op": "test", "path": "/data/nope", "value": 1}],
    [{"op": "move", "from": "/data/a", "path": "/data/z"}], [{"op": "move", "from": "/data/nope", "path": "/data/z"}],
    [{"op": "copy", "from": "/data/b", "path": "/data/z"}], [{"op": "copy", "path": "/data/z"}],
    [{"op": "add", "path": "/data/e/0", "value": 9}], [{"op": "add", "path": "/data/e/-", "value": 9}],
    [{"op": "add", "path": "/data/e/9", "value": 9}], [{"op": "add", "path": "/data/e/x", "value": 9}],
    [{"op": "remove", "path": "/data/e/1"}], [{"op": "remove", "path": "/data/e/-"}],
    [{"op": "replace", "path": "/data/e/01", "value": 1}], [{"op": "add", "path": "/data/b/c/q", "value": 1}],
    [{"op": "add", "path": "/data/x~1y", "value": 1}], [{"op": "add", "path": "/data/x~0y", "value": 1}],
    [{"op": "add", "path": "/permissions/read/alice"}], [{"op": "add", "path": "/permissions/read/system.Everyone", "value": "zzz"}],
    [{"op": "remove", "path": "/permissions/read/nobody"}], [{"op": "remove", "path": "/permissions/read"}],
    [{"op": "add", "path": "/permissions/read", "value": {"bob": "bob"}}],
    [{"op": "add", "path": "/permissions/read", "value": ["bob"]}],
    [{"op": "replace", "path": "/permissions/write", "value": {}}],
    [{"op": "add", "path": "/permissions/bogus/alice"}], [{"op": "add", "path": "/permissions/read/a~1b"}],
    [{"op": "replace", "path": _ROOT, "value": {"z": 1}}], [{"op": "remove", "path": _ROOT}],
    [{"op": "add", "path": "", "value": {}}], [{"op": "remove", "path": "/permissions"}],
    [{"op": "add", "path": "/other", "value": 1}], [{"op": "add", "path": "data/a", "value": 1}],
    [{"op": "add", "path": "/data/", "value": 1}], [{"op": "add", "path": "/", "value": 1}],
    [{"op": "replace", "path": "/data/id", "value": "y"}], [{"op": "remove", "path": "/data/id"}],
    [{"op": "replace", "path": "/data/id", "value": "p"}],
    [{"op": "replace", "path": "/data/last_modified", "value": 1}],
    [{"op": "replace", "path": "/data/last_modified", "value": 9999999999999}],
    [{"op": "remove", "path": "/data/last_modified"}], [{"op": "add", "path": "/data/a", "value": 1, "x": 2}],
    [{"op": "frobnicate", "path": "/data/a"}], [{"op": "ADD", "path": "/data/a", "value": 1}],
    [{"op": 1, "path": "/data/a"}], [{"op": "add", "path": 1, "value": 1}],
    [{"op": "add", "path": "/data/n1", "value": 1}, {"op": "test", "path": "/data/n1", "value": 2}],
    [{"op": "add", "path": "/data/n1", "value": 1}, {"op": "move", "from": "/data/n1", "path": "/data/n2"}],
    [{"op": "move", "from": "/data/b", "path": "/data/b/c"}],
    [{"op": "add", "path": "/data/list", "value": []}, {"op": "add", "path": "/data/list/-", "value": {"a": 1}}],
    [{"op": "test", "path": "/data/n", "value": 1}, {"op": "add", "path": "/permissions/read/alice"}],
    [{"op": "add", "path": "/data/a", "value": 1}, {"op": "bad", "path": "/data/a"}, {"path": "x"}],
)

#: What somebody sends who does not see the rights of the object.
_HIDDEN: tuple[tuple[str, Any], ...] = (
    *((JSON_PATCH, body) for body in (
        [], [{"op": "test", "path": "/data/n", "value": 1}], [{"op": "add", "path": "/data/n", "value": 5}],
        [{"op": "add", "path": "/permissions/read/carol"}], [{"op": "remove", "path": "/permissions/read/carol"}],
        [{"op": "remove", "path": "/permissions/read"}], [{"op": "remove", "path": "/permissions/write"}],
        [{"op": "replace", "path": "/permissions/write", "value": {}}],
        [{"op": "add", "path": "/data/n", "value": 5}, {"op": "add", "path": "/permissions/write/carol"}],
        [{"op": "add", "path": "/permissions/read", "value": {"zoe": "zoe"}}])),
    *((media, body) for media in (MERGE, JSON) for body in (
        {}, {"data": {}}, {"permissions": {}}, {"data": {"x": 1}}, {"permissions": {"read": ["carol"]}},
        {"permissions": {"read": []}}, {"permissions": {"write": None}}, {"permissions": {"write": []}})),
)


def cases() -> Iterator[Case]:
    """All cases of this file."""
    for body in _MERGES:
        yield Case(f"merge patch {body!r:.50} (T23)", list(_of(MERGE, body)))
        yield Case(f"plain patch {body!r:.50} (T19, T23)", list(_of(JSON, body)))
    for body in _PATCHES:
        yield Case(f"JSON patch {body!r:.60} (T103, T104)", list(_of(JSON_PATCH, body)))
    yield Case("patches of other kinds of objects", list(_others()))
    yield Case("patches with parameters of the media type", [
        *records(_DATA),
        *(request("PATCH", f"{R}/r1", {"data": {"a": None}},
                  headers={"Content-Type": f"{media}; charset=utf-8"}) for media in (JSON, MERGE))])
    yield Case("Response-Behavior (T105, T106)", list(_behaviours()))
    yield Case("inherited writers (T20, T21)", list(_inherited()), ("core", "schema"))
    for media, body in _HIDDEN:
        yield Case(f"inherited writers, {media} {body!r:.50} (T20, T21)", list(_hidden(media, body)),
                   ("core", "write-acls"))
    yield Case("empty bodies of patches", [
        *records(_DATA),
        *(request("PATCH", f"{R}/{one}", b"", headers={"Content-Type": media})
          for media in (JSON, MERGE, JSON_PATCH, "") for one in ("r1", "nope"))])


def _of(media: str, body: Any) -> Iterator[Step]:
    yield from records()
    yield put(f"{R}/p", _DATA, {"read": ["alice"]})
    for behaviour in (None, "light", "diff"):
        headers = {"Content-Type": media}
        if behaviour:
            headers["Response-Behavior"] = behaviour
        yield request("PATCH", f"{R}/p", body, headers=headers)
        yield put(f"{R}/p", _DATA, {"read": ["alice"]})
    yield request("PATCH", f"{R}/nope", body, headers={"Content-Type": media})
    yield request("PATCH", f"{R}/p", body, headers={"Content-Type": media}, user="alice")


def _others() -> Iterator[Step]:
    yield from records()
    yield put(f"{G}/g", {"members": ["a"]})
    for path in (B, C, f"{G}/g"):
        yield request("PATCH", path, {"data": {"x": {"y": 1}}}, headers={"Content-Type": MERGE})
        yield request("PATCH", path, {"data": {"x": None}}, headers={"Content-Type": MERGE})
        for permission in ("read", "write", "collection:create", "group:create", "record:create", "x"):
            operation = {"op": "add", "path": f"/permissions/{permission}/alice"}
            yield request("PATCH", path, [operation], headers={"Content-Type": JSON_PATCH})
        yield request("PATCH", path, [{"op": "add", "path": "/data/members/-", "value": "b"}],
                      headers={"Content-Type": JSON_PATCH})
        yield request("PATCH", path, [{"op": "add", "path": "/data/schema", "value": {"type": 3}}],
                      headers={"Content-Type": JSON_PATCH})
        yield get(path)
    yield request("PATCH", f"{G}/g", [{"op": "add", "path": "/data/members/-", "value": "/buckets/x"}],
                  headers={"Content-Type": JSON_PATCH})
    yield request("PATCH", f"{G}/g", {"data": {"members": None}}, headers={"Content-Type": MERGE})
    yield get(f"{G}/g")


def _behaviours() -> Iterator[Step]:
    for value in ("full", "light", "diff", "LIGHT", "", "other", "light, diff", " light"):
        yield from records()
        for body in ({"n": 1, "z": 2}, {"n": 1, "z": 3}, {}, {"a": {"b": 1}}, {"last_modified": 1},
                     {"id": "q"}, {"last_modified": 9999999999999}, {"n": None}, {"n": None}):
            yield put(f"{R}/q", {"n": 1, "o": "x"})
            yield patch(f"{R}/q", body, headers={"Response-Behavior": value})
        yield patch(f"{R}/q", permissions={"read": ["a"]}, headers={"Response-Behavior": value})
        yield put(f"{R}/q", {"n": 2}, headers={"Response-Behavior": value})
        yield patch(f"{R}/nope", {"n": 2}, headers={"Response-Behavior": value})
        yield patch(f"{R}/q", {"n": 2}, user=None, headers={"Response-Behavior": value})
        yield get(f"{R}/q", headers={"Response-Behavior": value})
        yield delete(f"{R}/q", headers={"Response-Behavior": value})


def _inherited() -> Iterator[Step]:
    yield put(B, {}, {"write": ["<user:alice>"]})
    yield put(C)
    yield put(f"{R}/r", {"n": 1})
    yield get(f"{R}/r", user="alice")
    yield get(C, user="alice")
    yield patch(f"{R}/r", {"n": 2}, user="alice")
    yield get(f"{R}/r", user="alice")
    yield get(f"{R}/r")
    yield put(C, {}, user="alice")
    yield get(C)
    yield patch(C, permissions={"write": ["system.Everyone"]}, user="alice")
    yield put(f"{R}/anonymous", {}, user=None)
    yield get(f"{R}/anonymous", user=None)
    yield get(f"{R}/anonymous")
    yield patch(f"{R}/r", {"n": 3}, user=None)
    yield get(f"{R}/r", user=None)
    yield delete(f"{R}/r", user=None)


def _hidden(media: str, body: Any) -> Iterator[Step]:
    for path, rights in ((B, ["collection:create"]), (f"{G}/g", []), (C, ["record:create"]), (f"{R}/r", [])):
        for behaviour in (None, "light", "diff"):
            yield delete(B)
            yield put(B, {"n": 1}, {"write": ["<user:alice>"]} if path != B else None)
            yield put(f"{G}/g", {"members": ["x"], "n": 1})
            yield put(C, {"n": 1})
            yield put(f"{R}/r", {"n": 1})
            yield patch(path, permissions={right: ["carol"] for right in ("read", *rights)})
            headers = {"Content-Type": media}
            if behaviour:
                headers["Response-Behavior"] = behaviour
            yield request("PATCH", path, body, headers=headers, user="alice")
            yield get(path)
            yield get(path, user="alice")
