"""JSON schemas of records, collections and groups: specification §2.13."""

from __future__ import annotations

from typing import Any, Iterator

from ..steps import Step, delete, get, patch, post, put
from .base import B, C, G, R, Case
from .batches import batch

_DRAFT7 = "http://json-schema.org/draft-07/schema#"
_SCHEMAS: tuple[dict[str, Any], ...] = (
    {"type": "object", "properties": {"a": {"type": "integer"}}},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False},
    {"required": ["a"]}, {"required": ["id"]}, {"required": ["last_modified"]}, {"required": ["schema"]},
    {"required": ["a", "last_modified"]}, {"properties": {"id": {"type": "string", "pattern": "^r"}}},
    {"properties": {"a": {"enum": [1, "x", None]}}}, {"properties": {"a": {"pattern": "^[0-9]+$"}}},
    {"properties": {"a": {"minimum": 5, "maximum": 9}}}, {"properties": {"a": {"multipleOf": 0.1}}},
    {"properties": {"a": {"minLength": 2, "maxLength": 3}}}, {"properties": {"a": {"format": "email"}}},
    {"properties": {"a": {"type": "array", "items": {"type": "integer"}, "uniqueItems": True, "minItems": 1}}},
    {"properties": {"a": {"type": ["string", "null"]}}}, {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
    {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"not": {"required": ["a"]}}, {"const": {"a": 1}},
    {"properties": {"a": {"$ref": "#/definitions/x"}}, "definitions": {"x": {"type": "integer"}}},
    {"properties": {"a": {"$ref": "#/definitions/none"}}}, {"patternProperties": {"^a": {"type": "integer"}}},
    {"properties": {"a": {"$ref": "http://127.0.0.1:9/x.json"}}}, {"propertyNames": {"maxLength": 3}},
    {"$schema": _DRAFT7, "properties": {"a": {"items": [{"type": "integer"}]}}}, {"properties": {"a": False}},
    {"$schema": "http://json-schema.org/draft-04/schema#", "properties": {"a": {"exclusiveMinimum": True, "minimum": 1}}},
    {"$schema": "https://json-schema.org/draft/2020-12/schema", "properties": {"a": {"prefixItems": [{"type": "integer"}]}}},
    {"$schema": "http://example.com/unknown", "properties": {"a": {"type": "integer"}}}, {"minProperties": 2},
    {"dependencies": {"a": ["b"]}}, {"dependentRequired": {"a": ["b"]}}, {"if": {"required": ["a"]}, "then": {"required": ["b"]}},
    {"properties": {"a": {"contains": {"type": "integer"}}}}, {"type": "string"}, {"maxProperties": 1}, {"type": "object"},
    {"properties": {"a": {"properties": {"b": {"type": "integer"}}, "required": ["c"]}}}, {}, {"type": "array"},
)
_VALUES: tuple[dict[str, Any], ...] = (
    {}, {"a": 1}, {"a": "no"}, {"a": None}, {"b": 1}, {"a": 1, "b": 2}, {"a": [1, 1]}, {"a": ["x"]}, {"a": []}, {"a": "x@y"},
    {"a": 7.5}, {"a": {"b": "x"}}, {"a": {"b": 1, "c": 2}}, {"a": True}, {"schema": 5}, {"a": "12"}, {"abcd": "x"}, {"a": 1.0},
)
_INVALID: tuple[Any, ...] = (
    {"type": "Washmachine"}, {"properties": 3}, {"required": "a"}, {"minimum": "x"}, {"items": [{}]}, {"enum": []}, None, [], "x", 3,
    {"pattern": "("}, {"$ref": 3}, {"type": []}, {"properties": {"a": {"type": "integr"}}}, {"additionalProperties": "x"}, True,
    {"$schema": 3}, {"$schema": "http://json-schema.org/draft-04/schema#", "exclusiveMinimum": 3}, {"maxLength": -1}, {"required": [1]},
    {"dependencies": {"a": 3}}, {"properties": {"a": []}}, {"multipleOf": 0}, {"anyOf": []}, {"uniqueItems": "x"}, {"title": 3},
)


def cases() -> Iterator[Case]:
    """All cases of this file."""
    for index, schema in enumerate(_SCHEMAS):
        yield Case(f"schema {index} {schema!r:.60} (T100 to T102)", list(_validated(schema)), ("schema",))
    for schema in _INVALID:
        yield Case(f"invalid schema {schema!r:.60}", list(_invalid(schema)), ("schema", "core"))
    yield Case("tuple items without a dialect", [
        put(B), put(C, {"schema": {"properties": {"a": {"items": [{"type": "integer"}]}}}}),
        put(f"{R}/r", {"a": [1]}), put(f"{R}/r", {"a": ["x"]})], ("schema",))
    yield Case("schemas of the bucket", list(_of_bucket()), ("schema",))
    yield Case("missing buckets under validation", [
        put("/buckets/none/collections/c"), put("/buckets/none/groups/g"), post("/buckets/none/collections"),
        put("/buckets/none/collections/c/records/r")], ("schema",))
    yield Case("the schema member", list(_member()), ("schema",))


def _validated(schema: dict[str, Any]) -> Iterator[Step]:
    yield put(B)
    yield put(C)
    yield put(f"{R}/old", {"a": "no"})
    yield put(C, {"schema": schema})
    for value in _VALUES:
        yield put(f"{R}/r1", value)
    yield post(R, {"a": "no"})
    yield post(R, {"id": "old", "a": "no"})
    yield post(R, {"id": "p", "a": 1})
    yield patch(f"{R}/old", {"x": 1})
    yield patch(f"{R}/old", {"a": 1})
    yield patch(f"{R}/old", {"a": None})
    yield put(f"{R}/old")
    yield get(f"{R}/old")
    yield get(f"{R}/r1")
    yield batch([{"method": "PUT", "path": f"{R}/in-batch", "body": {"data": {"a": "no"}}},
                 {"method": "PUT", "path": f"{R}/in-batch", "body": {"data": {"a": 1}}}])
    yield delete(f"{R}/old")


def _invalid(schema: Any) -> Iterator[Step]:
    yield put(B)
    yield put(C, {"schema": schema})
    yield post(f"{B}/collections", {"schema": schema})
    yield put(C, {})
    yield patch(C, {"schema": schema})
    yield get(C)
    for kind in ("collection", "group", "record"):
        yield put(B, {f"{kind}:schema": schema})
        yield put(B, {})
        yield patch(B, {f"{kind}:schema": schema})


def _of_bucket() -> Iterator[Step]:
    schema = {"properties": {"a": {"type": "integer"}}, "required": ["a"]}
    for kind in ("collection", "group", "record"):
        yield put(B, {f"{kind}:schema": schema})
        yield put(C, {"a": 1})
        for value in ({}, {"a": 1}, {"a": "x"}, {"a": 1, "id": "x"}):
            yield put(f"{B}/collections/d", {k: v for k, v in value.items() if k != "id"})
            yield put(f"{G}/g", {k: v for k, v in value.items() if k != "id"})
            yield put(f"{R}/x", value)
            yield post(R, {k: v for k, v in value.items() if k != "id"})
        yield put(C, {"a": 1, "schema": {"properties": {"b": {"type": "string"}}}})
        yield put(f"{R}/y", {"a": 1, "b": "x"})
        yield put(f"{R}/y", {"a": 1, "b": 2})
        yield put(f"{R}/y", {"b": "x"})
        yield put(f"{B}/collections/e")
        yield put(f"{G}/h")
        yield delete(B)


def _member() -> Iterator[Step]:
    yield put(B)
    yield put(C, {"schema": {"type": "object"}})
    yield put(f"{R}/a", {"schema": 3})
    yield get(f"{R}?schema=3")
    yield put(f"{R}/a", {"x": 1})
    yield put(C, {"schema": {"type": "object", "title": "new"}})
    yield get(f"{R}/a")
    yield patch(f"{R}/a", {"y": 1})
    yield get(f"{R}?gt_schema=<ts:{C}-100000>")
    yield put(C, {})
    yield patch(f"{R}/a", {"y": 2})
    yield patch(f"{R}/a", {"schema": 4})
    yield get(f"{R}?_fields=schema")
