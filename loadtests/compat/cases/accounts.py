"""The accounts plug-in: specification §5.3."""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Iterator

from ..steps import Step, delete, get, head, patch, post, put, request
from .base import Case

A = "/accounts"
_WHERE = ("accounts",)


def cases() -> Iterator[Case]:
    """All cases of this file. The hashes in answers are random: nothing here shows them twice."""
    yield Case("accounts: who may (T111, T112)", list(_who()), _WHERE)
    yield Case("accounts: changed passwords (T113)", list(_passwords()), _WHERE)
    yield Case("accounts: those of others", list(_others()), _WHERE)
    yield Case("accounts: made in a batch", list(_in_batches()), _WHERE)
    yield Case("accounts: bodies", list(_bodies()), _WHERE)
    yield Case("accounts: ids", list(_ids()), _WHERE)
    yield Case("accounts: lists", list(_lists()), _WHERE)
    yield Case("accounts: the rest of the API", list(_rest()), _WHERE)


def sign_up(name: str, user: str | None = None, **more: Any) -> Step:
    """Creates an account with the usual password."""
    return put(f"{A}/{name}", {"password": "secret", **more}, user=user)


def _who() -> Iterator[Step]:
    yield sign_up("admin")
    yield sign_up("mat")
    yield sign_up("alice")
    for user in (None, "mat", "alice", "admin", "nobody"):
        for method in ("GET", "HEAD", "PATCH", "PUT", "POST", "DELETE"):
            body = {"data": {"password": "secret", "x": 1}} if method in ("PATCH", "PUT", "POST") else None
            if method in ("GET", "HEAD", "POST"):
                yield request(method, A, body, user=user) if body else request(method, A, user=user)
            for name in ("mat", "unknown"):
                path = f"{A}/{name}"
                if method != "POST":
                    yield request(method, path, body, user=user) if body else request(method, path, user=user)
        yield post(A, {"id": "mat", "password": "other"}, user=user)
        yield post(A, {"id": f"new-{user}", "password": "secret"}, user=user)
        yield sign_up("mat")
        yield get("/", user=user)
    yield delete(A, user=None)
    yield delete(A, user="alice")
    yield get("/", user="alice")
    yield delete(A, user="admin")
    yield get("/", user="mat")


def _others() -> Iterator[Step]:
    for name in ("admin", "mat", "alice"):
        yield sign_up(name)
    yield put(f"{A}/mat", {"password": "secret"}, {"write": ["system.Authenticated"]})
    for user in ("alice", "nobody"):
        yield patch(f"{A}/mat", {"password": "stolen"}, user=user)
        yield request("PATCH", f"{A}/mat", {"permissions": {"write": [f"account:{user}"]}}, user=user)
        yield put(f"{A}/mat", {"password": "stolen"}, user=user)
        yield post(A, {"id": "mat", "password": "stolen"}, user=user)
        yield delete(f"{A}/mat", user=user)
        yield get("/", user="mat", password="stolen")
    yield delete(f"{A}/mat", user="admin")


def _in_batches() -> Iterator[Step]:
    def as_mat(password: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
        token = b64encode(f"mat:{password}".encode()).decode()
        one = {"method": method, "path": path, "headers": {"Authorization": f"Basic {token}"}}
        return one if body is None else {**one, "body": body}

    def of(password: str) -> dict[str, Any]:
        return {"data": {"password": password}}

    yield request("POST", "/batch", {"requests": [
        {"method": "PUT", "path": f"{A}/mat", "body": of("one")}, as_mat("one", "PUT", "/buckets/b"),
        as_mat("wrong", "GET", "/buckets/b"), as_mat("one", "GET", "/buckets/b"),
        as_mat("one", "PATCH", f"{A}/mat", of("two")), as_mat("two", "GET", "/buckets/b"),
        as_mat("one", "GET", "/buckets/b")]}, user=None)
    yield get("/buckets/b", user="mat", password="two")
    yield get("/buckets/b", user="mat", password="one")
    yield request("POST", "/batch", {"requests": [
        as_mat("two", "DELETE", f"{A}/mat"), as_mat("two", "GET", "/buckets/b")]}, user=None)
    yield get("/buckets/b", user="mat", password="two")


def _passwords() -> Iterator[Step]:
    yield sign_up("mat")
    yield get("/", user="mat")
    yield get("/", user="mat", password="wrong")
    yield patch(f"{A}/mat", {"password": "new"})
    yield get("/", user="mat")
    yield get("/", user="mat", password="new")
    yield patch(f"{A}/mat", {"x": 1}, password="new")
    yield get("/", user="mat", password="new")
    yield put(f"{A}/mat", {"password": "newer"}, password="new")
    yield get("/", user="mat", password="new")
    yield get("/", user="mat", password="newer")
    yield delete(f"{A}/mat", password="newer")
    yield get("/", user="mat", password="newer")
    yield sign_up("mat")
    yield get("/buckets")


def _bodies() -> Iterator[Step]:
    bodies: tuple[Any, ...] = (
        {}, {"data": {}}, {"data": {"password": ""}}, {"data": {"password": None}}, {"data": {"password": 3}}, {"data": {"password": []}},
        {"data": {"password": "x", "extra": [1]}}, {"data": {"password": "\u00e9"}}, {"data": {"password": "x" * 72}}, {"foo": 1},
        {"data": {"password": "x" * 73}}, {"data": {"password": "x"}, "permissions": {"read": ["system.Everyone"]}}, {"data": None},
        {"data": {"password": "x"}, "permissions": {"bogus": []}}, {"data": {"password": "x", "id": "other"}}, {"permissions": {}},
        {"data": {"password": "x", "last_modified": 5}}, {"permissions": {"read": ["a"]}}, {"data": {"password": "x", "id": 3}})
    for number, body in enumerate(bodies):
        yield request("PUT", f"{A}/u{number}", body, user=None)
        yield request("POST", A, body, user=None)
    yield sign_up("mat")
    for body in bodies:
        yield request("PATCH", f"{A}/mat", body)
        yield put(f"{A}/mat", {"password": "secret"}, password="x")
        yield put(f"{A}/mat", {"password": "secret"}, password="\u00e9")
        yield sign_up("admin")
        yield put(f"{A}/mat", {"password": "secret"}, user="admin")


def _ids() -> Iterator[Step]:
    for one in ("a", "a@b.example", "a+b", "_bad", "-x", "a b", "%C3%A9", "A.B", "a:b", "a*", "*", "0", "a/b"):
        yield sign_up(one)
        yield post(A, {"id": one, "password": "secret"}, user=None)
    yield post(A, {"password": "secret"}, user=None)
    yield sign_up("mat")
    yield post(A, {"password": "secret"})
    yield sign_up("admin")
    yield post(A, {"password": "secret"}, user="admin")
    yield post(A, {"password": "secret", "id": None}, user="admin")
    yield post(A, {"password": "secret", "id": 3}, user="admin")


def _lists() -> Iterator[Step]:
    for name in ("admin", "mat", "alice", "bob"):
        yield sign_up(name, age=len(name))
    for user in ("mat", "admin", None):
        for query in ("", "?_sort=id&_fields=age", "?age=3&_fields=id", "?_limit=1&_fields=age", "?_since=0&_fields=age", "?id=mat&_fields=age"):
            yield get(f"{A}{query}" if "_fields" in query else f"{A}?_fields=age", user=user)
            yield head(f"{A}{query}", user=user)
    yield put(f"{A}/mat", {"password": "secret"}, {"read": ["system.Everyone"]})
    yield get(f"{A}/mat?_fields=id", user=None)
    yield get(f"{A}/mat?_fields=id", user="alice")
    yield delete(f"{A}/bob", user="admin")
    yield get(f"{A}?_fields=age&_sort=id", user="admin")


def _rest() -> Iterator[Step]:
    yield sign_up("mat")
    yield sign_up("alice")
    yield get("/")
    yield get("/", user=None)
    yield put("/buckets/b")
    yield put("/buckets/b/collections/c", {}, {"write": ["account:alice"]})
    yield put("/buckets/b/collections/c/records/r", {}, user="alice")
    yield get("/buckets/b/collections/c/records", user="alice")
    yield get("/buckets/b", user="alice")
    yield get("/buckets/b", user="mat", password="wrong")
    yield put("/buckets/b/groups/g", {"members": ["account:alice", "alice"]})
    yield get("/", user="alice")
    yield get("/buckets", user=None)
    yield sign_up("admin")
    for user in ("mat", "alice", "admin", None):
        yield get("/permissions?_sort=uri", user=user)
        yield get("/permissions?resource_name=account", user=user)
    yield delete("/buckets/b")
