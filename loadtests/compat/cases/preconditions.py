"""If-Match and If-None-Match: specification §2.7."""

from __future__ import annotations

from typing import Iterator

from ..steps import Step, delete, get, head, patch, post, put
from .base import B, C, R, Case, records

_VALUES = (
    f"<etag:{R}>", f"<etag:{R}/r1>", f"<etag:{R}+1>", f"<etag:{R}/r1-1>", '"1"', "*", "1", 'W/"1"',
    '"*"', '"abc"', '"0"', "", '"-1"', '"1', '"1", "2"', f"<ts:{R}>", "* ", ' "1" ', "''", '""',
    '"99999999999999999999999"', '"1.5"', "W/*", '"00"', '"01"',
)
_CRASHES = ("*abc", "**", "*, *")


def cases() -> Iterator[Case]:
    """All cases of this file."""
    for header in ("If-Match", "If-None-Match"):
        for value in _VALUES + _CRASHES:
            yield Case(f"{header}: {value} (T4 to T15)", list(_every(header, value)))
    yield Case("both preconditions", [step for left in _VALUES[:8] for right in _VALUES[:8]
                                      for step in _both(left, right)][:400])
    yield Case("If-None-Match: * needs the right to create (T5)", list(_needs_create()))
    yield Case("dates are no preconditions", [
        *records({}), get(f"{R}/r1", headers={"If-Modified-Since": "Sat, 01 Jan 2050 00:00:00 GMT"}),
        put(f"{R}/r1", {}, headers={"If-Unmodified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"})])
    yield Case("304 with filters and fields", list(_unchanged()), ("core", "paginate"))


def _every(header: str, value: str) -> Iterator[Step]:
    yield from records({"n": 1}, {"n": 2})
    yield get(R)
    yield get(f"{R}/r1")
    headers = {header: value}
    for step in (get(R), head(R), get(f"{R}/r1"), head(f"{R}/r1"), get(f"{R}/nope"), head(f"{R}/nope"),
                 patch(f"{R}/nope", {"a": 1}), delete(f"{R}/nope"), get(f"{R}?_since=0&_fields=n"),
                 get(f"{R}?_since=abc"), put(f"{R}/r1", {"z": 1}), get(f"{R}/r1"),
                 patch(f"{R}/r1", {"z": 2}), get(f"{R}/r1"), put(f"{R}/new", {"z": 1}), get(R),
                 post(R, {"z": 1}), get(R), post(R, {"id": "p"}), get(f"{R}/r1"), post(R, {"id": "r1"}),
                 delete(f"{R}/r2"), get(f"{R}/r1"), delete(f"{R}/r1"), get(R), delete(f"{R}?n=99"),
                 put(f"{R}/r1", {"again": 1}), get(R), delete(R), get(R), get("/buckets"), get("/"),
                 get(B), put(B, {}), patch(C, {"a": 1}), post("/batch", {}), put(f"{R}/_bad", {})):
        plain = step.method == "GET" and step.path in (R, f"{R}/r1")
        yield step
        yield Step(step.method, step.path, step.user, step.body, headers)
        if not plain:
            yield Step(step.method, step.path, None, step.body, headers)


def _both(left: str, right: str) -> Iterator[Step]:
    headers = {"If-Match": left, "If-None-Match": right}
    yield from records({"n": 1})
    yield get(R)
    yield get(R, headers=headers)
    yield get(f"{R}/r1", headers=headers)
    yield put(f"{R}/r1", {}, headers=headers)


def _needs_create() -> Iterator[Step]:
    yield from records({"n": 1})
    star = {"If-None-Match": "*"}
    yield patch(f"{R}/r1", permissions={"write": ["<user:alice>"]})
    yield put(f"{R}/r1", {}, user="alice", headers=star)
    yield put(f"{R}/new", {}, user="alice", headers=star)
    yield patch(f"{R}/r1", {}, user="alice", headers=star)
    yield delete(f"{R}/r1", user="alice", headers=star)
    yield patch(C, permissions={"record:create": ["<user:alice>"]})
    yield put(f"{R}/r1", {}, user="alice", headers=star)
    yield put(f"{R}/new", {}, user="alice", headers=star)
    yield put(f"{R}/new", {}, user="alice", headers=star)
    yield put(f"{R}/r1", {}, user=None, headers=star)
    yield put(C, {}, user="alice", headers=star)
    yield put(C, {}, headers=star)
    yield put(B, {}, user="bob", headers=star)
    yield put(B, {}, headers=star)
    yield delete(f"{R}/r1")
    yield put(f"{R}/r1", {}, headers=star)


def _unchanged() -> Iterator[Step]:
    yield from records({"n": 1}, {"n": 2}, {"n": 3}, {"n": 4})
    for query in ("", "?n=1", "?_since=0", "?_fields=n", "?_limit=1", "?_sort=n", "?_token=abc",
                  "?_limit=z", "?gt_n=1&_sort=-n", "?unknown=1"):
        yield get(R)
        for method in ("GET", "HEAD"):
            for header in ("If-None-Match", "If-Match"):
                for value in (f"<etag:{R}>", '"12345"', "*"):
                    yield Step(method, R + query, headers={header: value})
