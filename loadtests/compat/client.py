"""HTTP to one server over one kept-alive connection, and to two servers at the same time."""

from __future__ import annotations

import http.client
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from .steps import Request

TIMEOUT_SECONDS = 60


@dataclass
class Response:
    """An answer: the headers in lower case, the body parsed when it is JSON."""

    status: int
    headers: dict[str, str]
    body: Any
    #: All values of headers that may come more than once.
    repeated: dict[str, list[str]] = field(default_factory=dict)

    @property
    def errno(self) -> int | None:
        """The error number of an error's body."""
        return self.body.get("errno") if isinstance(self.body, dict) else None

    def describe(self) -> str:
        """`400/107`."""
        return f"{self.status}/{self.errno}" if self.errno is not None else str(self.status)


class Connection:
    """One server."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._http: http.client.HTTPConnection | None = None

    def ask(self, request: Request) -> Response:
        """Sends the request; once more when a connection that was kept turns out to be closed."""
        fresh = self._http is None
        try:
            return self._ask(request)
        except (http.client.HTTPException, OSError) as problem:
            self.close()
            if fresh or isinstance(problem, socket.timeout):
                return Response(0, {}, f"no answer: {problem!r}")
        try:
            return self._ask(request)
        except (http.client.HTTPException, OSError) as problem:
            self.close()
            return Response(0, {}, f"no answer: {problem!r}")

    def _ask(self, request: Request) -> Response:
        if self._http is None:
            self._http = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS)
            self._http.connect()
            self._http.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        headers = dict(request.headers)
        if request.body is None and request.method in ("POST", "PUT", "PATCH"):
            headers["Content-Length"] = "0"
        self._http.request(request.method, request.target, body=request.body, headers=headers)
        answer = self._http.getresponse()
        raw = answer.read()
        pairs = [(name.lower(), value) for name, value in answer.getheaders()]
        repeated: dict[str, list[str]] = {}
        for name, value in pairs:
            repeated.setdefault(name, []).append(value)
        if answer.will_close:
            self.close()
        headers = {name: ", ".join(values) for name, values in repeated.items()}
        return Response(answer.status, headers, parse(raw), repeated)

    def close(self) -> None:
        """Closes the connection; the next request opens another."""
        if self._http is not None:
            self._http.close()
            self._http = None


class Pair:
    """Kinto and the other server, asked in parallel."""

    def __init__(self, kinto_port: int, our_port: int) -> None:
        self.kinto = Connection(kinto_port)
        self.ours = Connection(our_port)
        self._pool = ThreadPoolExecutor(max_workers=1)

    def ask(self, to_kinto: Request | None, to_ours: Request | None) -> tuple[Response, Response]:
        """Both answers. Nothing to ask (no next page) is a Response of status -1."""
        pending = self._pool.submit(self._one, self.kinto, to_kinto)
        ours = self._one(self.ours, to_ours)
        return pending.result(), ours

    @staticmethod
    def _one(connection: Connection, request: Request | None) -> Response:
        if request is None:
            return Response(-1, {}, "no Next-Page to follow")
        return connection.ask(request)

    def close(self) -> None:
        """Closes both connections."""
        self.kinto.close()
        self.ours.close()
        self._pool.shutdown()


def parse(raw: bytes) -> Any:
    """JSON where it is, else text."""
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode("utf-8", "replace")
