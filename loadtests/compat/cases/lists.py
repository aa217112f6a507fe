"""Filters, sorting, pagination, selected fields: specification §3."""

from __future__ import annotations

from typing import Any, Iterator

from ..steps import Step, delete, follow, get, head, put
from .base import B, G, R, Case, collection, records

_RECORDS: tuple[dict[str, Any], ...] = (
    {"n": 1, "s": "abc", "t": True, "a": [1, 2]},
    {"n": 2, "s": "ABC", "t": False, "a": ["1", "2"]},
    {"n": 1.0, "s": "b_c", "a": []},
    {"n": "1", "s": "b%c", "a": [[1]]},
    {"n": None, "s": "", "a": "1"},
    {"n": True, "s": "é", "o": {"p": 1, "q": {"r": "x"}}},
    {"n": [1], "s": "10", "o": {"p": "1"}},
    {"n": {"a": 1}, "s": "z", "o": 3},
    {"s": "Zebra", "a.b": 1, "a": {"b": 2}},
    {"n": -5, "x-y": 1, "madmax_n": 1, "a": [None, True, {"k": 1}]},
    {"n": 1e3, "s": "a,b"},
    {"n": "", "s": "null"},
)
_VALUES = (
    "1", "1.0", "\"1\"", "true", "True", "null", "", "abc", "[1]", "{\"a\":1}", "-5", "2", "1e3",
    "\"abc\"", "1,2", "10", "\"\"", "false", "é", "[1,2]", "[\"1\"]", "a,b", "\"a,b\"", "[]", "0",
    "1,\"1\",true", "NaN", "1 ", " 1", "{", "[", "'x'", "%00", "1e400", "-0",
)
_PREFIXES = ("", "not_", "lt_", "max_", "gt_", "min_", "in_", "exclude_", "like_", "has_", "contains_",
             "contains_any_")
_FIELDS = ("n", "s", "a", "o.p", "o.q.r", "missing", "t")
_SPECIAL = (
    "id=1", "id=r1", "id=\"r1\"", "in_id=1,2", "in_id=r1,r2", "in_id=\"r1\",r3", "exclude_id=r1,2",
    "exclude_id=r1", "not_id=r1", "gt_id=r3", "lt_id=r3", "like_id=r1", "like_id=R*", "has_id=true",
    "has_id=false", "contains_id=a", "contains_any_id=a", "id=", "id=null", "id=%00", "min_id=r3",
    "last_modified=1", "last_modified=abc", "last_modified=true", "last_modified=-1", "id=r1&id=r2",
    f"last_modified=<ts:{R}/r3>", f"last_modified=<etag:{R}/r3>", f"not_last_modified=<ts:{R}/r3>",
    f"gt_last_modified=<ts:{R}/r3>", f"lt_last_modified=<ts:{R}/r3>", f"min_last_modified=<ts:{R}/r3>",
    f"max_last_modified=<ts:{R}/r3>", "gt_last_modified=abc", "gt_last_modified=-1", "lt_last_modified=",
    f"in_last_modified=<ts:{R}/r3>", "exclude_last_modified=1", "contains_last_modified=1",
    "contains_any_last_modified=1", "like_last_modified=1", "has_last_modified=true",
    "gt_last_modified=99999999999999", "has_last_modified=false", "like_last_modified=\"1\"",
    f"_since=<ts:{R}/r3>", f"_since=<etag:{R}/r3>", f"_before=<ts:{R}/r3>", f"_to=<ts:{R}/r3>",
    f"_since=<ts:{R}/r3>&_before=<ts:{R}/r9>", "_since=abc", "_since=", "_since=-1", "_since=true",
    "_since=null", "_before=null", "_since=1.5", "_since=1e3", "_since=9223372036854775808",
    "_since=9223372036854775809", "_since=99999999999999", "_before=99999999999999", "_to=abc",
    "_before=", "_before=abc", "_to=", "_since=0", "_before=0", "_since=\"abc\"", "_since=[]", "_since={}",
    f"_since=<ts:{R}/r3+80000000>", f"_since=<ts:{R}/r3+90000000>", "_since=\"-1\"", "_since=1&_since=2",
    "n=1&n=2", "n=1&s=abc", "n=1&not_s=abc", "GT_n=1", "madmax_n=1", "in_x-y=1", "x-y=1", "in_=1", "=1",
    "_unknown=1", "__x=1", "a.b=1", "a.b=2", "o.p=1", "o=3", "deleted=true", "_since=0&deleted=true",
    "_since=0&n=1", "_since=0&not_n=1", "_since=0&gt_n=1", "_since=0&has_n=false", "not_deleted=true",
    " n=1", "n =1", "n= 1", "has_n=yes", "has_n=", "has_n=null", "has_n=[]", "has_n=abc", "n%00=1",
    "schema=1", "like_s=*b*", "like_s=a*", "like_s=*C", "like_s=b_c", "like_s=%25", "like_s=\"10\"",
    "like_n=\"1\"", "like_s=*", "like_s=", "like_s=\\", "like_s=a\\*", "like_o.p=1", "like_a=\"1\"",
    "like_missing=x", "like_t=\"true\"", "in_n=", "exclude_n=", "in_n=1", "exclude_n=1,2", "in_n=null",
    "in_t=true,false", "in_s=abc,b_c", "exclude_n=null", "exclude_missing=1", "in_a=[1]", "'n'=1",
    "_since=0&_sort=n", "last_modified=0", "n..m=1", ".n=1", "n.=1", "o.=1", "in_n=1&in_n=2",
)
_SORTS = ("n", "-n", "s", "-s", "t", "a", "o", "-o", "o.p", "missing", "-missing", "id", "-id", "last_modified",
          "-last_modified", "n,s", "-n,-s", "+n", "x-y", "--n", "", ",", "n,", " n", "n s", "s,-last_modified",
          "last_modified,n", "n,n", "-n,n", "id,n", "o.q.r", "%00", "n;s", "é", "deleted")
_FIELDS_LISTS = ("n", "n,s", "o.p", "o.q.r", "a.b", "s.x", "missing", "", ",", "id", "last_modified", "deleted",
                 "n,,s", " n", "n, s", "o,o.p", "a", "schema", "%00", "'n'", "o.p,o.q", ".", "n.")
_LIMITS = ("1", "2", "3", "5", "100", "0", "-1", "z", "1.5", "true", "null", "", "\"2\"", "1e1", "99999999999", "12")
_TOKENS = ("", "abc", "123", "e30=", "bnVsbA==", "W10=", "eyJsYXN0X29iamVjdCI6e30sIm9mZnNldCI6MH0=", "%00", "true",
           "eyJsYXN0X29iamVjdCI6IHsibGFzdF9tb2RpZmllZCI6IDF9LCAib2Zmc2V0IjogLTEsICJub25jZSI6ICJhIn0=", "null", "é",
           "eyJsYXN0X29iamVjdCI6IHsibGFzdF9tb2RpZmllZCI6ICJhIn0sICJvZmZzZXQiOiAxLCAibm9uY2UiOiAiYSJ9")
_WHERE = ("core", "paginate")


def cases() -> Iterator[Case]:
    """All cases of this file."""
    base = _base()
    for prefix in _PREFIXES:
        for field in _FIELDS:
            steps = [get(f"{R}?{prefix}{field}={_quoted(value)}") for value in _VALUES]
            yield Case(f"filter {prefix}{field} (T38 to T44)", [*base, *steps])
    special = [_quoted(query) for query in _SPECIAL]
    yield Case("special filters (T32, T33, T45 to T51)", [*base, *(get(f"{R}?{q}") for q in special)], _WHERE)
    yield Case("totals (T34, T35)", [*base, *(head(f"{R}?{q}") for q in special)], _WHERE)
    for query in special:
        yield Case(f"DELETE with {query[:40]}", [*base, delete(f"{R}?{query}"), get(f"{R}?_sort=id")])
    yield Case("sorting (T56, T57)", [*base, *(get(f"{R}?_sort={s}&_fields=n") for s in _SORTS)])
    yield Case("fields (T58, T59)", [
        *base, *(get(f"{R}{one}?_fields={f}") for f in _FIELDS_LISTS for one in ("", "/r1", "/r6", "/r9")),
        *(get(f"{R}?_since=0&_fields={f}") for f in _FIELDS_LISTS),
        put(f"{R}/r1?_fields=n", {"n": 1, "m": 2}), delete(f"{R}/r1?_fields=n"), delete(f"{R}?_fields=n&n=2")])
    yield Case("limits (T49, T52, T53)", [*base, *(get(f"{R}?_limit={v}") for v in _LIMITS),
                                          *(head(f"{R}?_limit={v}") for v in _LIMITS)], _WHERE)
    yield Case("tokens", [*base, *(get(f"{R}?_limit=2&_token={v}") for v in _TOKENS),
                          *(get(f"{R}?_token={v}&_sort=n") for v in _TOKENS),
                          *(head(f"{R}?_token={v}") for v in _TOKENS)], _WHERE)
    for query in ("_limit=5", "_limit=2&_sort=n", "_limit=3&_sort=-n", "_limit=2&_sort=missing", "_limit=4&_sort=s,-n",
                  "_limit=1&gt_n=1", "_limit=3&_since=0", "_limit=2&_fields=s&_sort=-s", "_limit=3&_sort=last_modified",
                  "_limit=3&_sort=id", "_limit=2&in_n=1,2,-5", "_limit=5&has_n=true&_sort=t", "_limit=2&_sort=a",
                  "_limit=3&_sort=o.p", "_limit=3&_before=99999999999&_sort=n", "_sort=n", "_since=0", "", "_limit=100",
                  "_limit=2&like_s=*b*", "_limit=12", "_limit=11", "_limit=2&_sort=-missing,n", "_limit=2&n=1&x=%C3%A9"):
        yield Case(f"pages of {query} (T54)", list(_walk(query)), _WHERE)
    yield Case("changes between pages (T55)", list(_changes_between_pages()), _WHERE)
    yield Case("pages of a DELETE (T36)", list(_deleted_pages()), _WHERE)
    yield Case("lists of buckets, collections and groups", list(_other_lists()), _WHERE)
    yield Case("lists that only hold tombstones", [
        *records({}, {}), delete(R), get(R), get(f"{R}?_since=0&_sort=id"), head(f"{R}?_since=0"), delete(R),
        get(f"{R}?_since=0&_limit=1"), get(f"{R}?_since=<ts:{R}>"), get(f"{R}?_before=<ts:{R}>")])


def _quoted(text: str) -> str:
    return text.replace('"', "%22").replace("+", "%2B").replace("{", "%7B").replace("}", "%7D") \
        if not text.startswith(("_since=<", "_before=<", "_to=<")) and "<" not in text else text


def _base() -> list[Step]:
    return [*records(*_RECORDS), put(f"{R}/gone1", {"n": 1}), put(f"{R}/gone2", {}), delete(f"{R}/gone1"),
            delete(f"{R}/gone2")]


def _walk(query: str) -> Iterator[Step]:
    yield from _base()
    first = get(f"{R}?{query}")
    yield first
    for _ in range(14):
        yield follow(first)


def _changes_between_pages() -> Iterator[Step]:
    yield from _base()
    first = get(f"{R}?_limit=3")
    yield first
    yield delete(f"{R}/r12")
    yield put(f"{R}/inserted", {"n": 0})
    yield get(f"{R}?_limit=3&_token=<token:{R}>")
    yield delete(f"{R}/r1")
    yield follow(first)
    yield get(f"{R}?_limit=3")
    sort = get(f"{R}?_limit=2&_sort=s")
    yield sort
    yield put(f"{R}/first", {"s": " "})
    yield get(f"{R}?_limit=2&_sort=s&_token=<token:{R}>")
    yield follow(sort)


def _deleted_pages() -> Iterator[Step]:
    yield from _base()
    first = delete(f"{R}?_limit=5&_sort=s")
    yield first
    yield delete(f"{R}?_limit=5&_sort=s&_token=<token:{R}>")
    yield delete(f"{R}?_limit=5&_sort=s&_token=<token:{R}>")
    yield get(f"{R}?_limit=5&_sort=s&_token=<token:{R}>")
    yield get(f"{R}?_sort=s")
    yield delete(f"{R}?_limit=0")
    yield get(R)
    yield from _base()
    yield delete(f"{R}?_limit=2")
    for _ in range(8):
        yield follow(first)
    yield get(R)


def _other_lists() -> Iterator[Step]:
    yield from collection()
    for index, extra in enumerate(_RECORDS):
        yield put(f"{B}/collections/c{index}", {k: v for k, v in extra.items() if k != "schema"})
        yield put(f"{G}/g{index}", {"members": [f"m{index % 3}", "all"], **extra})
    yield delete(f"{B}/collections/c1")
    yield delete(f"{G}/g1")
    for path in ("/buckets", f"{B}/collections", G):
        for query in ("", "n=1", "_since=0", "_sort=n", "_sort=-s&_fields=s", "_limit=3", "contains_members=m1",
                      "contains_any_members=[%22m1%22,%22m2%22]", "has_members=true", "id=c2", "gt_id=c3", "foo=1",
                      "_fields=members", "in_s=abc,z", "_before=1", "_sort=unknown", "members=%5B%5D"):
            yield get(f"{path}?{query}")
            yield head(f"{path}?{query}")
        first = get(f"{path}?_limit=4&_sort=s")
        yield first
        for _ in range(4):
            yield follow(first)
