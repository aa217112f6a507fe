"""What differs between two answers, modulo what must differ: ids, timestamps, ports, tokens."""

from __future__ import annotations

import email.utils
import json
import re
import time
import urllib.parse
from dataclasses import dataclass
from typing import Any, Iterator

from .client import Response
from .steps import Request, Step
from .symbols import Symbols, clock_of, is_timestamp, looks_generated

#: Headers whose text must be the same.
EXACT = (
    "content-type cache-control pragma total-objects total-records retry-after backoff "
    "x-content-type-options access-control-allow-origin access-control-max-age"
).split()
#: Headers that hold a set of words.
SETS = (
    "allow access-control-expose-headers access-control-allow-methods access-control-allow-headers"
).split()
URLS = ("location", "next-page")

_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
_ISO = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$")
_BCRYPT = re.compile(r"^\$2b\$\d\d\$[./A-Za-z0-9]{53}$")
_PORT = re.compile(r"127\.0\.0\.1:\d+")
_PARSE_ERROR = re.compile(r"Invalid JSON.*", re.DOTALL)


@dataclass(frozen=True)
class Difference:
    """One place where two answers differ."""

    where: str
    kinto: Any
    ours: Any
    note: str = ""

    def describe(self) -> str:
        """One line."""
        left, right = (_short(v) for v in (self.kinto, self.ours))
        note = f"  ({self.note})" if self.note else ""
        return f"{self.where}: Kinto {left} | ours {right}{note}"


@dataclass
class Exchange:
    """A request to both servers, and what they answered."""

    step: Step
    sent: Request
    kinto: Response
    ours: Response
    #: Of a HEAD: whether each server says how long its own answer to GET is.
    lengths_are_those_of_get: bool = False
    #: The plug-ins that the servers have.
    includes: str = ""


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 300 else text[:297] + "…"


class Comparison:
    """Compares answers of one run of a sequence."""

    def __init__(self, symbols: Symbols, namespace: str) -> None:
        self.symbols = symbols
        self.namespace = namespace

    def exchange(self, exchange: Exchange) -> list[tuple[Exchange, Difference]]:
        """All differences, each with the exchange it belongs to: of a batch, its sub-request."""
        found: list[tuple[Exchange, Difference]] = []
        batch = sub_exchanges(exchange)
        if batch is None:
            found = [(exchange, d) for d in self._response(exchange)]
        else:
            found = [(exchange, d) for d in self._response(exchange, with_body=False)]
            for index, one in enumerate(batch):
                found.extend(
                    (one, Difference(f"responses[{index}] {d.where}", d.kinto, d.ours, d.note))
                    for d in self._response(one)
                )
        if found:
            self.symbols.rollback()
        else:
            self.symbols.commit()
            self._deletions(exchange)
        return found

    # -- one answer -----------------------------------------------------------------------

    def _response(self, exchange: Exchange, with_body: bool = True) -> Iterator[Difference]:
        kinto, ours = exchange.kinto, exchange.ours
        if kinto.status != ours.status:
            yield Difference("status", f"{kinto.describe()} {_message(kinto)}".strip(),
                             f"{ours.describe()} {_message(ours)}".strip())
            return
        clock = clock_of(_own_path(exchange))
        if with_body and not 300 <= kinto.status < 400:
            left, right = kinto.body, ours.body
            if exchange.sent.method == "DELETE":
                self.symbols.together(_timestamps(left), _timestamps(right))
                left, right = _deleted(left, self.symbols.ids), _deleted(right, {})
            yield from self._value("body", left, right, clock)
        yield from self._headers(exchange, clock)

    def _headers(self, exchange: Exchange, clock: str | None) -> Iterator[Difference]:
        kinto, ours = exchange.kinto.headers, exchange.ours.headers
        for name in EXACT:
            if kinto.get(name) != ours.get(name):
                yield Difference(f"header {name}", kinto.get(name), ours.get(name))
        for name in SETS:
            left, right = _words(kinto.get(name)), _words(ours.get(name))
            if left != right:
                yield Difference(f"header {name}", left, right)
        left_all = exchange.kinto.repeated.get("www-authenticate")
        right_all = exchange.ours.repeated.get("www-authenticate")
        if left_all != right_all:
            yield Difference("header www-authenticate", left_all, right_all)
        yield from self._pairs_of_headers(kinto, ours, clock)
        # The same JSON may be written in two ways: each is as long as what GET sends.
        if exchange.sent.method == "HEAD" and exchange.kinto.status == 200:
            left, right = kinto.get("content-length"), ours.get("content-length")
            if left != right and not exchange.lengths_are_those_of_get:
                yield Difference("header content-length", left, right)

    def _pairs_of_headers(
        self, kinto: dict[str, str], ours: dict[str, str], clock: str | None
    ) -> Iterator[Difference]:
        left, right = kinto.get("content-security-policy"), ours.get("content-security-policy")
        if (left or "").rstrip("; ") != (right or "").rstrip("; "):
            yield Difference("header content-security-policy", left, right)
        if _json(kinto.get("alert")) != _json(ours.get("alert")):
            yield Difference("header alert", kinto.get("alert"), ours.get("alert"))
        left, right = kinto.get("etag"), ours.get("etag")
        if left is None or right is None or not (_etag(left) and _etag(right)):
            if left != right:
                yield Difference("header etag", left, right)
        else:
            yield from self._value("header etag", _etag(left), _etag(right), clock)
        left, right = (_last_modified(h) for h in (kinto, ours))
        if left != right:
            yield Difference("header last-modified", left, right)
        left, right = (_expires(h) for h in (kinto, ours))
        if (left is None) != (right is None) or (left is not None and abs(left - right) > 3):
            yield Difference("header expires (seconds from now)", left, right)
        for name in URLS:
            left, right = kinto.get(name), ours.get(name)
            if left is None or right is None:
                if left != right:
                    yield Difference(f"header {name}", left, right)
            else:
                yield from self._value(f"header {name}", _url(left), _url(right), None)

    # -- values ---------------------------------------------------------------------------

    def _value(self, where: str, kinto: Any, ours: Any, clock: str | None) -> Iterator[Difference]:
        if isinstance(kinto, dict) and isinstance(ours, dict):
            yield from self._dict(where, kinto, ours, clock)
        elif isinstance(kinto, list) and isinstance(ours, list):
            yield from self._list(where, kinto, ours, clock)
        elif isinstance(kinto, str) and isinstance(ours, str):
            if kinto != ours and not self._text(where, kinto, ours):
                yield Difference(where, self._shown(kinto), self._shown(ours))
        elif is_timestamp(kinto) and is_timestamp(ours):
            problem = self.symbols.timestamp(clock, kinto, ours)
            if problem:
                yield Difference(where, kinto, ours, problem)
        elif type(kinto) is not type(ours) or kinto != ours:
            yield Difference(where, kinto, ours)

    def _dict(
        self, where: str, kinto: dict[str, Any], ours: dict[str, Any], clock: str | None
    ) -> Iterator[Difference]:
        # The id first: what it binds may be named by the other members.
        for key in sorted({**kinto, **ours}, key=lambda key: (key != "id", key)):
            here = f"{where}.{key}"
            if key not in kinto or key not in ours:
                missing = "(absent)"
                yield Difference(here, kinto.get(key, missing), ours.get(key, missing))
            elif key == "permissions" or key == "principals":
                yield from self._unordered(here, kinto[key], ours[key])
            else:
                inner = clock if key in ("data", "last_modified", "details", "existing") else None
                yield from self._value(here, kinto[key], ours[key], inner)

    def _list(
        self, where: str, kinto: list[Any], ours: list[Any], clock: str | None
    ) -> Iterator[Difference]:
        if len(kinto) != len(ours):
            yield Difference(where, self._items(kinto), self._items(ours), "in number")
            return
        for index, (left, right) in enumerate(zip(kinto, ours)):
            yield from self._value(f"{where}[{index}]", left, right, clock)

    def _unordered(self, where: str, kinto: Any, ours: Any) -> Iterator[Difference]:
        if isinstance(kinto, list) and isinstance(ours, list):
            mapped = sorted(self._mapped(one) for one in kinto)
            if mapped != sorted(map(str, ours)):
                yield Difference(where, mapped, sorted(map(str, ours)))
        elif isinstance(kinto, dict) and isinstance(ours, dict):
            for key in sorted({**kinto, **ours}):
                yield from self._unordered(f"{where}.{key}", kinto.get(key), ours.get(key))
        elif kinto != ours:
            yield Difference(where, kinto, ours)

    def _mapped(self, text: Any) -> str:
        return _TOKEN.sub(lambda m: self.symbols.ids.get(m[0], m[0]), str(text))

    def _text(self, where: str, kinto: str, ours: str) -> bool:
        """Whether two different texts mean the same."""
        for form in (_ISO, _BCRYPT):
            if form.match(kinto) and form.match(ours):
                return True
        # The media types are a set in Kinto, in another order after each start.
        if "header should be one of [" in kinto and sorted(kinto) == sorted(ours):
            return True
        # The reason of a parse error is the parser's own, and each server has its port.
        kinto, ours = (
            _PORT.sub("127.0.0.1", _PARSE_ERROR.sub("Invalid JSON", text)) for text in (kinto, ours)
        )
        left, right = _TOKEN.findall(kinto), _TOKEN.findall(ours)
        if _TOKEN.sub("", kinto) != _TOKEN.sub("", ours) or len(left) != len(right):
            return False
        may_bind = where.endswith(".id")
        return all(self._token(a, b, may_bind) for a, b in zip(left, right))

    def _token(self, kinto: str, ours: str, may_bind: bool) -> bool:
        if kinto == ours:
            return True
        if kinto.isdigit() and ours.isdigit():
            a, b = int(kinto), int(ours)
            return is_timestamp(a) and is_timestamp(b) and not self.symbols.timestamp(None, a, b)
        if len(kinto) != len(ours) or not (looks_generated(kinto) and looks_generated(ours)):
            return False
        if not may_bind and len(kinto) == 8 and kinto not in self.symbols.ids:
            return False
        return self.symbols.identifier(kinto, ours)

    def _items(self, items: list[Any]) -> str:
        ids = [str(i.get("id", i)) if isinstance(i, dict) else str(i) for i in items]
        return self._shown(f"{len(items)}: {' '.join(ids[:8])}")

    def _shown(self, text: str) -> str:
        return text.replace(self.namespace, "") if self.namespace else text

    def _deletions(self, exchange: Exchange) -> None:
        """A deleted parent takes the clocks of its lists along."""
        if exchange.sent.method == "DELETE" and exchange.kinto.status == 200:
            path = _own_path(exchange)
            for kind in ("collections", "groups", "records", "history"):
                self.symbols.forget(f"{path}/{kind}")
            if path.endswith(("/collections", "/buckets")):
                for clock in self.symbols.below(path):
                    self.symbols.forget(clock)
        batch = sub_exchanges(exchange)
        for one in batch or ():
            self._deletions(one)


def sub_exchanges(exchange: Exchange) -> list[Exchange] | None:
    """The sub-requests of a batch that both servers answered in the same number."""
    both = [_responses(r.body) for r in (exchange.kinto, exchange.ours)]
    if both[0] is None or both[1] is None or len(both[0]) != len(both[1]):
        return None
    requests = _batch_requests(exchange.sent.body)
    pairs = []
    for index, (kinto, ours) in enumerate(zip(*both)):
        asked = requests[index] if index < len(requests) else {}
        own = asked.get("headers")
        headers = {**exchange.step.headers, **(own if isinstance(own, dict) else {})}
        step = Step(asked.get("method", "GET"), str(asked.get("path", "?")), exchange.step.user,
                    body=asked.get("body", {}), headers=headers)
        sent = Request(step.method, step.path, exchange.sent.headers, None)
        pairs.append(Exchange(step, sent, _sub_response(kinto), _sub_response(ours),
                              includes=exchange.includes))
    return pairs


def _own_path(exchange: Exchange) -> str:
    """The path of the request; that of the default bucket is another for each user."""
    path = exchange.sent.path
    return f"/{exchange.step.user}{path}" if path.startswith("/buckets/default") else path


# -- forms of headers and bodies ---------------------------------------------------------------


def _message(response: Response) -> str:
    if isinstance(response.body, dict):
        return str(response.body.get("message") or response.body.get("details") or "")[:160]
    return str(response.body or "")[:160] if response.status in (0, -1) else ""


def _words(value: str | None) -> list[str] | None:
    if value is None:
        return None
    return sorted(word.strip().lower() for word in value.split(",") if word.strip())


def _json(value: str | None) -> Any:
    try:
        return None if value is None else json.loads(value)
    except ValueError:
        return value


def _etag(value: str) -> int | None:
    text = value.strip('"')
    return int(text) if text.isdigit() and value == f'"{text}"' else None


def _last_modified(headers: dict[str, str]) -> str | None:
    """Whether the date is that of the ETag."""
    value = headers.get("last-modified")
    etag = _etag(headers.get("etag", ""))
    if value is None or etag is None:
        return value and "(a date)"
    return "of the ETag" if value == email.utils.formatdate(etag // 1000, usegmt=True) else value


def _expires(headers: dict[str, str]) -> float | None:
    value = headers.get("expires")
    if value is None:
        return None
    try:
        return round(email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return -1e9


def _url(url: str) -> str:
    """Without the port, and with the parameters in order."""
    split = urllib.parse.urlsplit(url)
    pairs = sorted(urllib.parse.parse_qsl(split.query, keep_blank_values=True))
    shown = [f"{k}={'TOKEN' if k == '_token' else v}" for k, v in pairs]
    host = re.sub(r":\d+$", "", split.netloc)
    return f"{split.scheme}://{host}{split.path}{'?' if shown else ''}{'&'.join(shown)}"


def _deleted(body: Any, known: dict[str, str]) -> Any:
    """What a list's DELETE answers, in the order of ids: Kinto's is that in which PostgreSQL came
    across the rows, and so is that of the timestamps which they got."""
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, list) or not all(isinstance(one, dict) for one in data):
        return body
    when = {"last_modified": "(a timestamp)"}
    undated = [{**one, **when} if "last_modified" in one else one for one in data]
    return {**body, "data": sorted(undated, key=lambda one: known.get(one.get("id"), str(one.get("id"))))}


def _timestamps(body: Any) -> set[int]:
    data = body.get("data") if isinstance(body, dict) else None
    objects = data if isinstance(data, list) else []
    return {one["last_modified"] for one in objects if isinstance(one, dict) and "last_modified" in one}


def _responses(body: Any) -> list[Any] | None:
    responses = body.get("responses") if isinstance(body, dict) else None
    return responses if isinstance(responses, list) and responses else None


def _batch_requests(body: bytes | None) -> list[dict[str, Any]]:
    try:
        parsed = json.loads(body or b"{}")
        defaults = parsed.get("defaults", {})
        return [{**defaults, **one} for one in parsed["requests"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def _sub_response(one: Any) -> Response:
    """An entry of a batch's answer."""
    if not isinstance(one, dict):
        return Response(0, {}, one)
    raw = one.get("headers")
    headers = {str(k).lower(): str(v) for k, v in raw.items()} if isinstance(raw, dict) else {}
    repeated = {name: [value] for name, value in headers.items()}
    body = {"path": one.get("path"), "body": one.get("body")}
    if isinstance(one.get("body"), dict):
        body = {**one["body"], "path of the response": one.get("path")}
    return Response(int(one.get("status", 0)), headers, body, repeated)
