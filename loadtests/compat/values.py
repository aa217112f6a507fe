"""What random sequences put into ids, bodies and querystrings."""

from __future__ import annotations

import random
from typing import Any

MEMBERS = ("n", "s", "a", "o", "t")
SCALARS: tuple[Any, ...] = (
    0, 1, 2, 3, 10, -1, 1.5, 1.0, "", "a", "b", "abc", "ABC", "10", "1", "é", "x y", True, False, None, "a,b", "z_z", 1e20,
)
ODD_BODIES: tuple[Any, ...] = (
    b"", b"{", b"3", b"null", b"[]", {"foo": 1}, {"data": None}, {"data": []}, {"data": "x"}, {}, {"data": {"id": "other"}},
    {"data": {"id": "_bad"}}, {"data": {"id": 3}}, {"permissions": {"read": "x"}}, {"permissions": {"bogus": ["x"]}},
    {"permissions": {"read": [1]}}, {"permissions": {"read": None}}, {"permissions": None}, {"permissions": {}},
    {"data": {"last_modified": "1"}}, {"data": {"schema": 1}}, {"data": {"schema": {"type": "bad"}}}, {"data": {"members": "x"}},
    {"data": {"cache_expires": "x"}}, {"data": {"members": ["system.Everyone"]}}, b'{"data":{"n":1e400}}', {"data": {}, "x": 1},
)
ODD_IDS = ("_bad", "a.b", "%20", "unknown", "-x")
MEDIA = ("application/json", "application/json", "application/merge-patch+json", "application/json-patch+json")


def member(rng: random.Random) -> str:
    """A member's name, as it stands in filters and sorts."""
    return rng.choice((*MEMBERS, "o.p", "missing"))


def scalar(rng: random.Random) -> Any:
    """A JSON scalar."""
    return rng.choice(SCALARS)


def value(rng: random.Random, depth: int = 2) -> Any:
    """A JSON value."""
    kind = rng.random()
    if depth == 0 or kind < 0.75:
        return scalar(rng)
    if kind < 0.88:
        return [value(rng, depth - 1) for _ in range(rng.randrange(3))]
    return {rng.choice(("p", "q", "r")): value(rng, depth - 1) for _ in range(rng.randrange(3))}


def data(rng: random.Random) -> dict[str, Any]:
    """The data of a record."""
    return {rng.choice(MEMBERS): value(rng) for _ in range(rng.randrange(4))}


def filter_text(rng: random.Random) -> str:
    """A parameter that filters on a member."""
    prefix = rng.choice(("", "", "not_", "lt_", "max_", "gt_", "min_", "in_", "exclude_", "like_", "has_", "contains_",
                         "contains_any_"))
    name = member(rng)
    if prefix == "has_":
        return f"has_{name}={rng.choice(('true', 'false', '1', '', 'x'))}"
    if prefix in ("in_", "exclude_"):
        chosen = [text(rng) for _ in range(rng.randrange(1, 4))]
        return f"{prefix}{name}={','.join(chosen)}"
    if prefix == "like_":
        return f"like_{name}={rng.choice(('a', '*a*', 'A*', '*c', 'z_z', '%2210%22', '1', ''))}"
    if prefix.startswith("contains"):
        return f"{prefix}{name}={rng.choice(('1', 'a', '[1]', '[1,2]', '[%22a%22]', 'null', '[]'))}"
    return f"{prefix}{name}={text(rng)}"


def text(rng: random.Random) -> str:
    """A filter's value, percent-encoded where needed."""
    return rng.choice(("1", "2", "%221%22", "a", "abc", "%22abc%22", "true", "null", "", "1.0", "1.5", "[1]", "%7B%22p%22:1%7D", "b", "10",
                       "-1", "%C3%A9", "0", "x%20y"))


def sort_text(rng: random.Random, with_ids: bool) -> str:
    """The value of `_sort`."""
    names = ["n", "s", "t", "o.p", "missing", "last_modified", "a", *(["id"] if with_ids else [])]
    chosen = rng.sample(names, rng.choice((1, 1, 2)))
    return ",".join(rng.choice(("", "-")) + name for name in chosen)


def json_patch(rng: random.Random) -> list[dict[str, Any]]:
    """A JSON patch, often one that fails."""
    operations = []
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(MEMBERS)
        kind = rng.choice(("add", "add", "replace", "remove", "test", "move", "copy"))
        path = rng.choice((f"/data/{name}", f"/data/{name}", f"/data/{name}/0", f"/data/{name}/p", f"/data/{name}/-"))
        one: dict[str, Any] = {"op": kind, "path": path}
        if kind in ("add", "replace", "test"):
            one["value"] = value(rng, 1)
        elif kind in ("move", "copy"):
            one["from"] = f"/data/{rng.choice(MEMBERS)}"
        operations.append(one)
    if rng.random() < 0.25:
        who = rng.choice(("<user:alice>", "system.Everyone", "somebody"))
        operations.append({"op": rng.choice(("add", "remove")), "path": f"/permissions/{rng.choice(('read', 'write'))}/{who}"})
    return operations
