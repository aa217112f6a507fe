"""What schemathesis cannot know: which objects exist, so that generated requests succeed, too.

Loaded by schemathesis, by SCHEMATHESIS_HOOKS; SERVER_URL is the API's root.
"""

from __future__ import annotations

import functools
import os
import zlib
from typing import Any

import requests
import schemathesis

AUTH = ("mat", "secret")
OBJECTS = {
    "/buckets/b": {},
    "/buckets/b/groups/x": {"data": {"members": ["basicauth:x"]}},
    "/buckets/b/collections/c": {},
    "/buckets/b/collections/x": {},
    "/buckets/b/collections/c/records/x": {"data": {"title": "a"}},
    "/buckets/x": {},
}
#: What stands in for a generated id, except for `/buckets/{id}`.
IDS = {"bucket_id": "b", "collection_id": "c", "id": "x"}
#: Of generated ids and preconditions, one of so many is kept.
KEPT = 4
PRECONDITIONS = ("If-Match", "If-None-Match")


def is_kept(value: Any) -> bool:
    """The same answer for the same value, so that a seed repeats a run."""
    return zlib.crc32(repr(value).encode()) % KEPT == 0


@functools.cache
def user_id() -> str:
    """Whose requests these are."""
    answer = requests.get(f"{os.environ['SERVER_URL']}/", auth=AUTH, timeout=60)
    return answer.json()["user"]["id"]


def seed() -> None:
    """Makes what a test has deleted or changed anew."""
    batch = [
        {"method": "PUT", "path": path, "body": {"permissions": {}, "data": {}, **body}}
        for path, body in OBJECTS.items()
    ]
    answer = requests.post(
        f"{os.environ['SERVER_URL']}/batch", json={"requests": batch}, auth=AUTH, timeout=60
    )
    answer.raise_for_status()
    failed = [one for one in answer.json()["responses"] if one["status"] >= 400]
    assert not failed, failed


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any]) -> dict[str, Any]:
    """Mostly ids of objects that exist."""
    if not path_parameters:
        return path_parameters
    known = {**IDS, "principal": user_id()}
    return {
        name: value if is_kept(value) else known.get(name, value)
        for name, value in path_parameters.items()
    }


@schemathesis.hook
def map_headers(context: Any, headers: dict[str, Any]) -> dict[str, Any]:
    """Mostly without preconditions, which generated values hardly ever meet."""
    return {
        name: value for name, value in (headers or {}).items()
        if name not in PRECONDITIONS or is_kept(value)
    }


@schemathesis.hook
def map_query(context: Any, query: dict[str, Any]) -> dict[str, Any]:
    """Mostly without tokens, which only the server can make."""
    return {name: value for name, value in (query or {}).items() if name != "_token" or is_kept(value)}


class Seeds:
    """Whether the last request may have changed what is seeded."""

    are_changed = True


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Each request finds all objects."""
    if Seeds.are_changed:
        seed()
    Seeds.are_changed = case.method.upper() not in ("GET", "HEAD", "OPTIONS")
