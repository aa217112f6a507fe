"""What may be in a body: specification §2.6."""

from __future__ import annotations

from typing import Iterator

from ..steps import Step, delete, request
from .base import B, C, G, R, Case, records

_BODIES = (
    b"", b"{}", b'{"a"', b"3", b'"a"', b"null", b"true", b"[]", b"[1]", b'{"foo":1}', b"{'a':1}",
    b'{"foo":1,"bar":{"a":null}}', b'{"data":null}', b'{"data":"x"}', b'{"data":[]}', b'{"data":3}',
    b'{"data":true}', b'{"data":{}}', b'{"data":{"a":1}}', b'{"permissions":{}}', b" ", b"{} x",
    b'{"permissions":{"read":"abc"}}', b'{"permissions":{"read":[1]}}', b'{"permissions":{"read":1}}',
    b'{"permissions":{"read":[null]}}', b'{"permissions":{"read":[{}]}}', b'\xff\xfe', b'{"a":"\xe9"}',
    b'{"permissions":{"read":[[]]}}', b'{"permissions":{"bogus":[]}}', b'{"permissions":{"read":[""]}}',
    b'{"permissions":{"read":null}}', b'{"permissions":null}', b'{"permissions":[]}',
    b'{"permissions":"x"}', b'{"permissions":{"read":{}}}', b'{"permissions":{"read":["a","a"]}}',
    b'{"foo":1,"data":{"a":1}}', b'{"data":{"last_modified":"123"}}', b'{"permissions":{"write":["b"]}}',
    b'{"data":{"last_modified":1.5}}', b'{"data":{"a":1e400}}', b'{"data":{"a":NaN}}', b'{"data":{"a":1,}}',
    b'{"data":{"a":18446744073709551616}}', b'{"data":{"id":"q","id":"r1"}}', b'{"data":{"":1}}',
    b'{"data":{"schema":1}}', b'{"data":{"schema":{"type":"Washmachine"}}}', b'{"data":{"schema":null}}',
    b'{"data":{"schema":{}}}', b'{"data":{"schema":"x"}}', b'{"data":{"schema":[]}}',
    b'{"data":{"schema":{"properties":{"a":{"type":"x"}}}}}', b'{"data":{"schema":{"required":"a"}}}',
    b'{"data":{"cache_expires":"12"}}', b'{"data":{"cache_expires":1.7}}', b'{"data":{"cache_expires":"abc"}}',
    b'{"data":{"cache_expires":true}}', b'{"data":{"cache_expires":null}}', b'{"data":{"cache_expires":[]}}',
    b'{"data":{"record:schema":{"type":"x"}}}', b'{"data":{"collection:schema":null}}',
    b'{"data":{"group:schema":{"minimum":"a"}}}', b'{"data":{"record:schema":{"type":"object"}}}',
    b'{"data":{"deleted":true}}', b'{"data":{"members":[]}}', b'{"permissions":{"record:create":["a"]}}',
    b'{"permissions":{"collection:create":["a"],"group:create":["b"]}}', b'{"data":{"displayFields":["a"]}}',
    b'{"permissions":{"read":["a"],"bogus":[1]},"data":3,"x":2}', b'\xef\xbb\xbf{}',
    b'{"data":{"sort":"-x","attachment":{"enabled":true}}}', b"nul", b"[", b'{"data":{"a":"b"}',
)


def cases() -> Iterator[Case]:
    """All cases of this file."""
    for kind, plural, path in (("bucket", "/buckets", B), ("collection", f"{B}/collections", C),
                               ("group", G, f"{G}/g"), ("record", R, f"{R}/r1")):
        for raw in _BODIES:
            yield Case(f"body of a {kind} (T22, T99, T109, T110): {raw[:40]!r}",
                       list(_bodies(raw, plural, path)))


def _bodies(raw: bytes, plural: str, path: str) -> Iterator[Step]:
    yield from records({"n": 1})
    yield request("PUT", f"{G}/g", {"data": {"members": []}})
    yield request("PUT", path, raw)
    yield request("PATCH", path, raw)
    yield request("POST", plural, raw)
    yield request("PUT", path, raw, user=None)
    yield request("GET", plural, raw)
    yield request("DELETE", f"{path}x", raw)
    if path == B:
        yield delete("/buckets")
