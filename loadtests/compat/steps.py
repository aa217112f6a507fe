"""One scripted request, and how its references become what each server gave out before.

A step is written once and sent to both servers. What differs between them by nature stands in
angle brackets and is resolved for each server from what that server answered earlier:

    <ts:PATH>          the last timestamp seen for PATH, as a number (1 when none was seen)
    <ts:PATH+1000>     the same, plus or minus some milliseconds
    <etag:PATH>        the same, between double quotes
    <id:PATH>          the id that the last POST to the list PATH generated
    <token:PATH>       the `_token` of the last Next-Page of PATH
    <user:NAME>        the principal of a user;  <bucket:NAME> the id of a user's default bucket

`NS` stands for the namespace of one run of the sequence, so that runs do not meet.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import urllib.parse
from dataclasses import dataclass, field, replace
from typing import Any, Mapping

#: Replaced by the namespace of the run; never part of a case by accident.
NS = "\u00a4"
#: Tells "no body" from the JSON value null.
NOTHING: Any = type("Nothing", (), {"__repr__": lambda self: "NOTHING"})()
HMAC_SECRET = "some-secret"

_REFERENCE = re.compile(r"<(ts|etag|id|token|user|bucket):([^<>]*)>")
_OFFSET = re.compile(r"^(.*?)([+-]\d+)$")


@dataclass(frozen=True)
class Step:
    """One request, with references."""

    method: str
    path: str
    user: str | None = "mat"
    body: Any = NOTHING
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Ask for the Next-Page of the previous answer instead of `path`.
    follow: bool = False
    #: The password of `user`, where it matters.
    password: str = "secret"

    def describe(self) -> str:
        """One line for a report."""
        who = self.user or "anonymous"
        parts = [f"{self.method} {'(Next-Page of the answer before)' if self.follow else self.path}"]
        parts.append(f"[{who}{'' if self.password == 'secret' else ':' + self.password}]")
        parts.extend(f"{name}: {value}" for name, value in self.headers.items())
        if isinstance(self.body, bytes):
            parts.append(f"raw body {self.body!r}")
        elif self.body is not NOTHING:
            parts.append(json.dumps(self.body, ensure_ascii=False))
        return "  ".join(parts).replace(NS, "")


@dataclass
class Request:
    """A step as one server gets it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes | None

    @property
    def path(self) -> str:
        """The path below `/v1`, without the querystring."""
        path = self.target.split("?", 1)[0]
        return path.removeprefix("/v1")


class Memory:
    """What one server answered so far in a sequence."""

    def __init__(self, namespace: str, policy: str = "basicauth", bucket_secret: str = "") -> None:
        self.namespace = namespace
        self.policy = policy
        self.bucket_secret = bucket_secret
        self.timestamps: dict[str, int] = {}
        self.ids: dict[str, str] = {}
        self.tokens: dict[str, str] = {}
        self.next_page: str | None = None

    # -- what is remembered ---------------------------------------------------------------

    def learn(self, path: str, method: str, headers: Mapping[str, str], body: Any) -> None:
        """Remembers the timestamp, the generated id and the next page of an answer."""
        etag = headers.get("etag", "").strip('"')
        if etag.isdigit() and method != "POST":
            self.timestamps[path] = int(etag)
        self.next_page = headers.get("next-page")
        if self.next_page:
            query = urllib.parse.urlsplit(self.next_page).query
            token = urllib.parse.parse_qs(query).get("_token")
            if token:
                self.tokens[path] = token[0]
        if not isinstance(body, dict):
            return
        data = body.get("data")
        if method == "POST" and isinstance(data, dict) and isinstance(data.get("id"), str):
            self.ids[path] = data["id"]
            if isinstance(data.get("last_modified"), int):
                self.timestamps[f"{path}/{data['id']}"] = data["last_modified"]
        responses = body.get("responses")
        if isinstance(responses, list):
            for one in responses:
                self._learn_one_of_batch(one)

    def _learn_one_of_batch(self, one: Any) -> None:
        if not isinstance(one, dict) or not isinstance(one.get("headers"), dict):
            return
        path = str(one.get("path", "")).removeprefix("/v1")
        headers = {k.lower(): str(v) for k, v in one["headers"].items()}
        self.learn(path, "GET", {"etag": headers.get("etag", "")}, None)

    # -- what a step becomes --------------------------------------------------------------

    def resolve(self, step: Step) -> Request | None:
        """The request for this server; None when it follows a page that there is not."""
        if step.follow:
            if self.next_page is None:
                return None
            split = urllib.parse.urlsplit(self.next_page)
            target = split.path + (f"?{split.query}" if split.query else "")
        else:
            target = self._target(step.path)
        headers = {name: self.text(value) for name, value in step.headers.items()}
        if step.user is not None and not any(k.lower() == "authorization" for k in headers):
            credentials = f"{step.user}{self.namespace}:{step.password}".encode()
            headers["Authorization"] = "Basic " + base64.b64encode(credentials).decode()
        body = self._body(step, headers)
        return Request(step.method, target, headers, body)

    def _target(self, path: str) -> str:
        resolved = self.text(path)
        if not resolved.startswith("!"):
            resolved = "/v1" + resolved
        return urllib.parse.quote(resolved.removeprefix("!"), safe="/?&=%:@!$'()*+,;~-._[]")

    def _body(self, step: Step, headers: dict[str, str]) -> bytes | None:
        if step.body is NOTHING:
            return None
        if not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "application/json"
        if isinstance(step.body, bytes):
            return step.body
        return json.dumps(self.value(step.body)).encode()

    def text(self, text: str) -> str:
        """Resolves references, the innermost first, and the namespace."""
        text = text.replace(NS, self.namespace)
        while (resolved := _REFERENCE.sub(lambda m: self._one(m[1], m[2]), text)) != text:
            text = resolved
        return text

    def value(self, value: Any) -> Any:
        """Resolves the references inside a JSON value; a lone `<ts:…>` becomes a number."""
        if isinstance(value, str):
            resolved = self.text(value)
            lone = value.startswith("<ts:") and value.endswith(">") and resolved.isdigit()
            return int(resolved) if lone else resolved
        if isinstance(value, list):
            return [self.value(one) for one in value]
        if isinstance(value, dict):
            return {self.text(key): self.value(one) for key, one in value.items()}
        return value

    def _one(self, kind: str, argument: str) -> str:
        if kind == "user":
            return self.principal(argument)
        if kind == "bucket":
            return default_bucket_id(self.principal(argument), self.bucket_secret)
        if kind == "id":
            return self.ids.get(argument, "nothing-generated")
        if kind == "token":
            return urllib.parse.quote(self.tokens.get(argument, "no-token"), safe="")
        offset = 0
        if match := _OFFSET.match(argument):
            if match[1] in self.timestamps or argument not in self.timestamps:
                argument, offset = match[1], int(match[2])
        timestamp = str(self.timestamps.get(argument, 1) + offset)
        return f'"{timestamp}"' if kind == "etag" else timestamp

    def principal(self, user: str) -> str:
        """The prefixed user id of `user`, as the first policy of the profile makes it."""
        user = user + self.namespace
        if self.policy == "account":
            return f"account:{user}"
        return f"basicauth:{basicauth_id(user, 'secret')}"


def basicauth_id(user: str, password: str) -> str:
    """The id that basicauth gives out (specification §5.2.1)."""
    message = f"{user}:{password}".encode()
    return hmac.new(HMAC_SECRET.encode(), message, hashlib.sha256).hexdigest()


def default_bucket_id(principal: str, secret: str) -> str:
    """The id of a user's default bucket (specification §7.1.1)."""
    digest = hmac.new(secret.encode(), principal.encode(), hashlib.sha256).hexdigest()
    parts = (digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32])
    return "-".join(parts)


# -- short names for case files -------------------------------------------------------------


def request(method: str, path: str, body: Any = NOTHING, **rest: Any) -> Step:
    """A step; `rest` are fields of `Step`."""
    return Step(method, path, body=body, **rest)


def get(path: str, **rest: Any) -> Step:
    """GET."""
    return Step("GET", path, **rest)


def head(path: str, **rest: Any) -> Step:
    """HEAD."""
    return Step("HEAD", path, **rest)


def delete(path: str, **rest: Any) -> Step:
    """DELETE."""
    return Step("DELETE", path, **rest)


def put(path: str, data: Any = NOTHING, permissions: Any = NOTHING, **rest: Any) -> Step:
    """PUT of `data` and `permissions`, where given."""
    return Step("PUT", path, body=_envelope(data, permissions), **rest)


def post(path: str, data: Any = NOTHING, permissions: Any = NOTHING, **rest: Any) -> Step:
    """POST of `data` and `permissions`, where given."""
    return Step("POST", path, body=_envelope(data, permissions), **rest)


def patch(path: str, data: Any = NOTHING, permissions: Any = NOTHING, **rest: Any) -> Step:
    """PATCH of `data` and `permissions`, where given."""
    return Step("PATCH", path, body=_envelope(data, permissions), **rest)


def follow(like: Step, method: str | None = None) -> Step:
    """Asks for the next page of the answer before, as the user of `like`."""
    return replace(like, method=method or like.method, follow=True)


def _envelope(data: Any, permissions: Any) -> Any:
    body = {}
    if data is not NOTHING:
        body["data"] = data
    if permissions is not NOTHING:
        body["permissions"] = permissions
    return body if body else NOTHING
