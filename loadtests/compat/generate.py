"""Random sequences from a seed: few objects and users, so that requests meet."""

from __future__ import annotations

import random
from typing import Any, Callable

from . import values
from .profiles import Profile
from .steps import NOTHING, NS, Step, follow

_USERS: tuple[str | None, ...] = ("mat", "mat", "mat", "mat", "alice", "alice", "bob", None)
_PERMISSIONS = {
    "bucket": ("read", "write", "collection:create", "group:create"),
    "collection": ("read", "write", "record:create"),
    "group": ("read", "write"),
    "record": ("read", "write"),
}


def sequence(rng: random.Random, profile: Profile, length: int) -> list[Step]:
    """Steps that make a bucket and a collection, then anything."""
    return _Generator(rng, profile).steps(length)


class _Generator:
    def __init__(self, rng: random.Random, profile: Profile) -> None:
        self.rng = rng
        self.features = profile.features
        # Generated ids sort differently on two servers: a sequence has them, or sorts by id.
        self.generates = rng.random() < 0.4
        default = "default_bucket" in self.features and rng.random() < 0.4
        self.buckets = ["/buckets/default"] if default else [f"/buckets/b{NS}", f"/buckets/d{NS}"]

    def steps(self, length: int) -> list[Step]:
        """The sequence."""
        steps = self._beginning()
        while len(steps) < length:
            steps.extend(self._next())
        return steps[:length]

    def _beginning(self) -> list[Step]:
        steps = []
        if "accounts" in self.features:
            secret = {"data": {"password": "secret"}}
            steps += [Step("PUT", f"/accounts/{name}", None, secret) for name in ("mat", "alice", "bob")]
        bucket = self.buckets[0]
        steps.append(Step("PUT", bucket, "mat", self._body("bucket")))
        steps.append(Step("PUT", f"{bucket}/collections/c", "mat", self._body("collection")))
        for number in range(self.rng.randrange(5)):
            path = f"{bucket}/collections/c/records/r{number}"
            steps.append(Step("PUT", path, "mat", {"data": values.data(self.rng)}))
        return steps

    # -- one step ---------------------------------------------------------------------------

    def _next(self) -> list[Step]:
        kinds: list[tuple[float, Callable[[], list[Step]]]] = [
            (30, self._write), (14, self._list), (10, self._read), (6, self._pages), (7, self._remove),
            (5, self._batch), (4, self._permissions), (2, self._odd), (1.5, self._service),
        ]
        if "history" in self.features:
            kinds.append((8, self._history))
        if "permissions" in self.features:
            kinds.append((4, self._permissions_endpoint))
        weights = [weight for weight, _ in kinds]
        return self.rng.choices([make for _, make in kinds], weights)[0]()

    def _write(self) -> list[Step]:
        kind, path = self._object()
        method = self.rng.choice(("PUT", "PUT", "PUT", "PATCH", "PATCH", "POST"))
        if method == "PATCH":
            return [self._patch(kind, path)]
        body = self._body(kind)
        if method == "POST":
            path, _, name = path.rpartition("/")
            if not self.generates or self.rng.random() < 0.6:
                body = dict(body) if isinstance(body, dict) else {}
                inner = body.get("data")
                body["data"] = {**(inner if isinstance(inner, dict) else {}), "id": name}
        return [Step(method, path, self._user(), body, self._preconditions(path))]

    def _patch(self, kind: str, path: str) -> Step:
        media = self.rng.choice(values.MEDIA)
        headers = self._preconditions(path)
        body: Any = self._body(kind)
        if media != "application/json":
            headers["Content-Type"] = media
        if media == "application/json-patch+json":
            body = values.json_patch(self.rng)
        if self.rng.random() < 0.2:
            headers["Response-Behavior"] = self.rng.choice(("full", "light", "diff"))
        return Step("PATCH", path, self._user(), body, headers)

    def _read(self) -> list[Step]:
        _, path = self._object()
        query = f"?_fields={values.member(self.rng)}" if self.rng.random() < 0.15 else ""
        method = self.rng.choice(("GET", "GET", "GET", "HEAD"))
        return [Step(method, path + query, self._user(), headers=self._preconditions(path))]

    def _list(self) -> list[Step]:
        path = self._plural()
        method = self.rng.choice(("GET", "GET", "GET", "HEAD"))
        query = self._query(path)
        return [Step(method, path + query, self._user(), headers=self._preconditions(path))]

    def _pages(self) -> list[Step]:
        path = self._plural()
        parts = [f"_limit={self.rng.choice((1, 2, 2, 3))}"]
        if self.rng.random() < 0.6:
            parts.append(f"_sort={values.sort_text(self.rng, not self.generates)}")
        if self.rng.random() < 0.3:
            parts.append(values.filter_text(self.rng))
        if self.rng.random() < 0.3:
            parts.append("_since=0")
        first = Step("GET", f"{path}?{'&'.join(parts)}", self._user())
        return [first, *(follow(first) for _ in range(self.rng.randrange(1, 5)))]

    def _remove(self) -> list[Step]:
        if self.rng.random() < 0.25:
            path = self._plural()
            query = f"?{values.filter_text(self.rng)}" if self.rng.random() < 0.7 else ""
            return [Step("DELETE", path + query, self._user(), headers=self._preconditions(path))]
        _, path = self._object(rarely_parents=True)
        query = ""
        if self.rng.random() < 0.1:
            query = f"?last_modified=<ts:{path}{self.rng.choice(('', '+1000000', '-1000000'))}>"
        return [Step("DELETE", path + query, self._user(), headers=self._preconditions(path))]

    def _batch(self) -> list[Step]:
        requests = []
        for _ in range(self.rng.randrange(1, 6)):
            step = self.rng.choice((self._write, self._write, self._read, self._list, self._remove))()[0]
            if isinstance(step.body, (bytes, list)) or "Content-Type" in step.headers:
                continue
            # Kinto crashes on a sub-request that ends in 304.
            headers = {k: v for k, v in step.headers.items() if k != "If-None-Match" or v == "*"}
            one: dict[str, Any] = {"method": step.method, "path": step.path}
            if step.body is not NOTHING:
                one["body"] = step.body
            if headers:
                one["headers"] = headers
            requests.append(one)
        return [Step("POST", "/batch", self._user(), {"requests": requests})]

    def _permissions(self) -> list[Step]:
        kind, path = self._object()
        permissions = self._some_permissions(kind)
        return [Step("PATCH", path, self._user(), {"permissions": permissions})]

    def _odd(self) -> list[Step]:
        kind, path = self._object()
        if self.rng.random() < 0.3:
            path = f"{path.rpartition('/')[0]}/{self.rng.choice(values.ODD_IDS)}"
        method = self.rng.choice(("PUT", "PATCH", "POST", "GET", "DELETE", "HEAD", "OPTIONS"))
        if method in ("GET", "DELETE", "HEAD", "OPTIONS"):
            return [Step(method, path, self._user())]
        if method == "POST":
            path = path.rpartition("/")[0]
        return [Step(method, path, self._user(), self.rng.choice(values.ODD_BODIES))]

    def _service(self) -> list[Step]:
        path = self.rng.choice(("/", "/buckets", "/nothing", "/buckets/", "/__lbheartbeat__"))
        return [Step("GET", path, self._user())]

    def _history(self) -> list[Step]:
        path = f"{self.rng.choice(self.buckets)}/history"
        query = self.rng.choice(("", "?_limit=3", "?action=update", "?resource_name=record", "?_since=0", "?_sort=action",
                                 "?record_id=r1", "?target.data.n=1", "?_fields=uri,action"))
        method = "DELETE" if self.rng.random() < 0.05 else "GET"
        return [Step(method, path + query, self._user())]

    def _permissions_endpoint(self) -> list[Step]:
        query = self.rng.choice(("", "?resource_name=record", "?_sort=uri", "?_limit=2", "?_fields=uri"))
        return [Step("GET", "/permissions" + query, self._user())]

    # -- parts ------------------------------------------------------------------------------

    def _user(self) -> str | None:
        return self.rng.choice(_USERS)

    def _object(self, rarely_parents: bool = False) -> tuple[str, str]:
        bucket = self.buckets[0] if self.rng.random() < 0.85 else self.rng.choice(self.buckets)
        weights = (1, 3, 8, 60) if rarely_parents else (5, 12, 14, 60)
        kind = self.rng.choices(("bucket", "collection", "group", "record"), weights)[0]
        collection = f"{bucket}/collections/{'c' if self.rng.random() < 0.85 else 'e'}"
        paths = {
            "bucket": bucket,
            "collection": collection,
            "group": f"{bucket}/groups/{self.rng.choice(('g', 'h'))}",
            "record": f"{collection}/records/{self.rng.choice(('r0', 'r1', 'r2', 'r3', 'r4'))}",
        }
        return kind, paths[kind]

    def _plural(self) -> str:
        _, path = self._object(rarely_parents=True)
        return path.rpartition("/")[0]

    def _body(self, kind: str) -> Any:
        chance = self.rng.random()
        if chance < 0.06:
            return NOTHING
        body: dict[str, Any] = {}
        if chance < 0.95:
            body["data"] = self._data(kind)
        if self.rng.random() < 0.2 or not body:
            body["permissions"] = self._some_permissions(kind)
        return body

    def _data(self, kind: str) -> dict[str, Any]:
        data = values.data(self.rng)
        if kind == "group":
            chosen = self.rng.sample(("<user:alice>", "<user:bob>", "x", "system.Authenticated"), self.rng.randrange(3))
            data["members"] = chosen
        if kind == "collection" and "schema" in self.features and self.rng.random() < 0.4:
            data["schema"] = {"properties": {"n": {"type": self.rng.choice(("integer", "string", "number"))}}}
        if self.rng.random() < 0.03:
            data["last_modified"] = self.rng.choice((1, 1500000000000 + self.rng.randrange(10**6), "1", 1.5))
        return data

    def _some_permissions(self, kind: str) -> dict[str, list[str]]:
        principals = ("<user:alice>", "<user:bob>", "system.Everyone", "system.Authenticated",
                      f"{self.buckets[0]}/groups/g", f"{self.buckets[0]}/groups/h", "somebody")
        names = self.rng.sample(_PERMISSIONS[kind], self.rng.choice((0, 1, 1, 2)))
        return {name: self.rng.sample(principals, self.rng.randrange(3)) for name in names}

    def _preconditions(self, path: str) -> dict[str, str]:
        if self.rng.random() > 0.2:
            return {}
        name = self.rng.choice(("If-Match", "If-None-Match"))
        value = self.rng.choice((f"<etag:{path}>", f"<etag:{path}>", f"<etag:{path}-1000000>", "*", '"1"', '"0"', "bad"))
        return {name: value}

    def _query(self, path: str) -> str:
        parts = []
        if self.rng.random() < 0.45:
            parts.append(values.filter_text(self.rng))
        if self.rng.random() < 0.25:
            bound = self.rng.choice(("_since", "_since", "_before", "last_modified", "gt_last_modified"))
            parts.append(f"{bound}={self.rng.choice(('0', f'<ts:{path}>', f'<ts:{path}/r1>', f'<ts:{path}/r2>', 'x'))}")
        if self.rng.random() < 0.2:
            parts.append(f"_sort={values.sort_text(self.rng, not self.generates)}")
        if self.rng.random() < 0.15:
            parts.append(f"_fields={values.member(self.rng)},{values.member(self.rng)}")
        if self.rng.random() < 0.1:
            parts.append(f"_limit={self.rng.choice((0, 1, 2, 5, 'x'))}")
        if self.rng.random() < 0.1:
            parts.append(f"id={self.rng.choice(('r1', '1', '%22r2%22'))}")
        return f"?{'&'.join(parts)}" if parts else ""
