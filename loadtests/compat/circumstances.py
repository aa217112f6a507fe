"""What an exchange was about: the circumstances that deviations are told by."""

from __future__ import annotations

import json
import re
import urllib.parse
from typing import Any, Callable, Iterable, Sequence

from .compare import Difference, Exchange, sub_exchanges
from .symbols import clock_of, looks_generated

Test = Callable[[Exchange, Difference, Sequence[Exchange]], bool]


def statuses(kinto: Iterable[int], ours: Iterable[int], when: Callable[[Exchange], bool]) -> Test:
    """Kinto answers one of `kinto`, we one of `ours`, to requests of a kind."""
    left, right = set(kinto), set(ours)

    def test(exchange: Exchange, difference: Difference, before: Sequence[Exchange]) -> bool:
        return exchange.kinto.status in left and exchange.ours.status in right and when(exchange)

    return test


def place(pattern: str, when: Callable[[Exchange], bool] = lambda _: True) -> Test:
    """The difference is at a place that the pattern describes."""
    compiled = re.compile(pattern)

    def test(exchange: Exchange, difference: Difference, before: Sequence[Exchange]) -> bool:
        return bool(compiled.search(difference.where)) and when(exchange)

    return test


def header(exchange: Exchange, name: str) -> str:
    """A header of the request."""
    for key, value in exchange.step.headers.items():
        if key.lower() == name:
            return value
    return ""


def query(exchange: Exchange) -> dict[str, str]:
    """The parameters of the request."""
    split = urllib.parse.urlsplit(exchange.sent.target)
    return dict(urllib.parse.parse_qsl(split.query, keep_blank_values=True))


def body_text(exchange: Exchange) -> str:
    """The request's body."""
    if exchange.sent.body is not None:
        return exchange.sent.body.decode("utf-8", "replace")
    body = exchange.step.body
    return json.dumps(body) if isinstance(body, (dict, list)) else ""


def content_type(exchange: Exchange) -> str:
    """The request's media type, with its parameters."""
    return header(exchange, "content-type")


def is_json_patch(exchange: Exchange) -> bool:
    """Whether the request is a JSON patch."""
    return content_type(exchange).startswith("application/json-patch+json")


def operations(exchange: Exchange) -> list[dict[str, Any]]:
    """The operations of a JSON patch."""
    try:
        parsed = json.loads(body_text(exchange))
    except ValueError:
        return []
    return [one for one in parsed if isinstance(one, dict)] if isinstance(parsed, list) else []


def touches_data_root(exchange: Exchange) -> bool:
    """A JSON patch of the whole of `/data` or `/permissions`."""
    roots = ("/data", "/permissions", "")
    paths = [(one.get("path"), one.get("from")) for one in operations(exchange)]
    return is_json_patch(exchange) and any(p in roots or f in roots for p, f in paths)


def names_unknown_permission(exchange: Exchange) -> bool:
    """A JSON patch of a permission that the resource does not have."""
    known = ("read", "write", "collection:create", "group:create", "record:create")
    names = [
        str(one.get("path", "")).split("/")[2]
        for one in operations(exchange)
        if str(one.get("path", "")).startswith("/permissions/")
    ]
    return is_json_patch(exchange) and any(name not in known for name in names)


def numbers(text: str) -> list[int]:
    """The integers that stand for a `last_modified` in a body."""
    return [int(n) for n in re.findall(r'"last_modified":\s*(-?\d+)\b(?![.eE])', text)]


def depth(text: str) -> int:
    """How deep a JSON text nests, roughly."""
    deepest = level = 0
    for character in text:
        level += (character in "[{") - (character in "]}")
        deepest = max(deepest, level)
    return deepest


def bucket_deleted_before(exchange: Exchange, before: Sequence[Exchange]) -> bool:
    """Whether a bucket was deleted and a group had been written."""
    texts = [f"{one.step.method} {one.sent.path} {body_text(one)}" for one in before]
    deleted = any(
        re.search(r'DELETE /buckets(/[^/ ]+)? |"DELETE", "path": "/buckets', text) for text in texts
    )
    return deleted and any("/groups" in text for text in texts)


def former_member(exchange: Exchange, difference: Difference, before: Sequence[Exchange]) -> bool:
    """Kinto lets a former member in, or names its group."""
    if not (bucket_deleted_before(exchange, before) and had_members(before)):
        return False
    granted = exchange.kinto.status < 400 and exchange.ours.status in (401, 403)
    named = re.search(r"principals|permissions", difference.where)
    shown = re.search(r"body\.data$|header total-|header next-page", difference.where)
    names_group = "/groups/" in str(difference.kinto)
    is_list = exchange.sent.path.endswith(("/buckets", "/collections", "/groups", "/records"))
    return granted or bool(named and names_group) or bool(shown and is_list)


def had_members(before: Sequence[Exchange]) -> bool:
    """Whether a group with members was written."""
    return any(re.search(r'"members": \["', body_text(one)) for one in before)


def merges_nested(exchange: Exchange) -> bool:
    """A merge patch with an object below a member."""
    try:
        data = json.loads(body_text(exchange)).get("data")
    except (ValueError, AttributeError):
        return False
    nested = isinstance(data, dict) and any(isinstance(value, dict) for value in data.values())
    return nested and "merge-patch" in content_type(exchange)


def compares_with_empty_array(
    exchange: Exchange, difference: Difference, before: Sequence[Exchange]
) -> bool:
    """A filter that compares, where it or an object before it has an empty array."""
    compared = [
        value for name, value in query(exchange).items()
        if name.startswith(("lt_", "gt_", "min_", "max_"))
    ]
    texts = [body_text(one).replace(" ", "") for one in before]
    is_place = re.search(r"(^|\] )(body\.data|header (total-|next-page))", difference.where)
    return bool(is_place and compared) and any("[]" in text for text in [*compared, *texts])


def in_order_of_deletion(
    exchange: Exchange, difference: Difference, before: Sequence[Exchange]
) -> bool:
    """Two objects that the same deletion of a list took, or the entries of the history about them."""
    place = re.search(r"body\.data\[(\d+)\]", difference.where)
    if place is None:
        return False
    subjects = []
    for side in ("kinto", "ours"):
        entries = (getattr(exchange, side).body or {}).get("data")
        if not isinstance(entries, list) or len(entries) <= int(place[1]):
            return False
        entry = entries[int(place[1])]
        subject = str(entry.get("uri") or entry.get("id")).rsplit("/", 1)[-1]
        subjects.append((side, subject))
    return any(
        all(subject in deleted_together(one, side) for side, subject in subjects)
        for whole in before for one in (sub_exchanges(whole) or [whole])
    )


def tells_batch_in_order(
    exchange: Exchange, difference: Difference, before: Sequence[Exchange]
) -> bool:
    """The same changes in a history that a batch wrote, in another order."""
    if not (exchange.sent.path.endswith("/history") and "body.data[" in difference.where):
        return False
    bodies = [side.body or {} for side in (exchange.kinto, exchange.ours)]
    told = [
        sorted(f"{one.get('action')} {subject_of(one)}" for one in body.get("data", []))
        for body in bodies
    ]
    return told[0] == told[1] and any(one.sent.path == "/batch" for one in before)


def subject_of(entry: dict[str, Any]) -> str:
    """What an entry is about, by its last id, where it is the same on both servers."""
    last = str(entry.get("uri")).rsplit("/", 1)[-1]
    return "generated" if looks_generated(last) else last


def deleted_together(exchange: Exchange, side: str) -> list[str]:
    """The ids of what a DELETE of a list took, where it took several."""
    if exchange.sent.method != "DELETE":
        return []
    body = getattr(exchange, side).body
    data = body.get("data") if isinstance(body, dict) else None
    return [str(one.get("id")) for one in data] if isinstance(data, list) and len(data) > 1 else []


def same_but_for_order(exchange: Exchange, difference: Difference, before: Sequence[Exchange]) -> bool:
    """The same unknown members, named in another order."""
    left, right = str(difference.kinto), str(difference.ours)
    return "Unrecognized keys in mapping" in left and sorted(left) == sorted(right)


def stayed_after_page(exchange: Exchange, difference: Difference, before: Sequence[Exchange]) -> bool:
    """The rights of an object that a page of a DELETE left where it was."""
    pages = [one.sent.path for one in before
             if one.sent.method == "DELETE" and "next-page" in one.kinto.headers]
    return "permissions" in difference.where and any(
        exchange.sent.path.startswith(f"{path}/") for path in pages)


def is_large_number(exchange: Exchange, difference: Difference, before: Sequence[Exchange]) -> bool:
    """An integer beyond 64 bits, of which JSON's readers keep the nearest double."""
    kinto, ours = difference.kinto, difference.ours
    is_large = isinstance(kinto, int) and abs(kinto) >= 2**63
    return is_large and isinstance(ours, float) and float(kinto) == ours


def deleted_at_zero(exchange: Exchange, difference: Difference, before: Sequence[Exchange]) -> bool:
    """A tombstone that Kinto dated 0, or what is shown of its list afterwards."""
    asked = [one for one in [*before, exchange]
             if one.step.method == "DELETE" and query(one).get("last_modified", "").strip('"') == "0"]
    return any(exchange.sent.path.startswith(one.sent.path.rsplit("/", 1)[0]) for one in asked) and (
        bool(re.search(r"etag|last.modified|body\.data$|total-", difference.where)))


def repeats_in_batch(exchange: Exchange, difference: Difference, before: Sequence[Exchange]) -> bool:
    """A request of a batch that deletes a bucket or a collection before."""
    if not difference.where.startswith("responses["):
        return False
    deleted = re.findall(r'"method": "DELETE", "path": "([^"]*)"', body_text(before[-1]))
    parents = [path for path in deleted if re.fullmatch(r"/buckets(/[^/]+(/collections(/[^/]+)?)?)?", path)]
    return any(exchange.sent.path.startswith(f"{path}/") for path in parents)



def is_list_batch(exchange: Exchange) -> bool:
    """A batch that is a list, or names something that is no mapping where Kinto merges one."""
    return exchange.sent.path == "/batch" and body_text(exchange).startswith("[")


def filter_values(exchange: Exchange, prefix: str) -> list[str]:
    """The values of the parameters whose names begin so."""
    return [value for name, value in query(exchange).items() if name.startswith(prefix)]


def listing(exchange: Exchange, difference: Difference) -> bool:
    """A place that tells which objects a list has."""
    return bool(re.search(r"body\.data(\[\d+\].*)?$|header (total-|next-page|etag)", difference.where))


def sorts_composite(exchange: Exchange, difference: Difference, before: Sequence[Exchange]) -> bool:
    """A list in the order of a member that is an array or an object in some object."""
    target = exchange.sent.target if exchange.sent else ""
    if "_sort" not in target and exchange.step.follow:
        target = next((one.sent.target for one in reversed(before) if not one.step.follow), "")
    pairs = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(target).query))
    names = [name.strip().lstrip("+-").split(".")[0] for name in pairs.get("_sort", "").split(",")]
    fields = [name for name in names if name not in ("", "id", "last_modified")]
    texts = " ".join(body_text(one) for one in before)
    is_composite = any(re.search(rf'"{re.escape(name)}": [\[{{]', texts) for name in fields)
    return is_composite and (listing(exchange, difference) or difference.where == "status")


def precondition(exchange: Exchange) -> str:
    """The text of the precondition headers."""
    return header(exchange, "if-match") + header(exchange, "if-none-match")


def is_operational_at_root(exchange: Exchange) -> bool:
    """An operational endpoint without `/v1`."""
    return bool(re.match(r"/__(heartbeat|lbheartbeat|version|metrics)__", exchange.sent.target))


def deletes_with_odd_timestamp(exchange: Exchange) -> bool:
    """DELETE of an object with a `last_modified` that is not a plain integer."""
    value = query(exchange).get("last_modified", "0")
    return exchange.step.method == "DELETE" and not re.fullmatch(r"\d+", value)


def tells_failure_at_root(
    exchange: Exchange, difference: Difference, before: Sequence[Exchange]
) -> bool:
    """Only the name of what a schema refuses differs: what is wrong is told alike."""
    if "/records" not in exchange.sent.path or exchange.kinto.status != 400:
        return False
    if difference.where.endswith("details[0].name"):
        return True
    texts = [str(one).split(" in body: ")[-1] for one in (difference.kinto, difference.ours)]
    return difference.where.endswith("body.message") and texts[0] == texts[1]


def same_letters(
    exchange: Exchange, difference: Difference, before: Sequence[Exchange]
) -> bool:
    """A text that shows the members of an object in another order."""
    is_text = bool(re.search(r"body\.(message|details\[\d+\]\.description)$", difference.where))
    return is_text and sorted(str(difference.kinto)) == sorted(str(difference.ours))



def is_default_bucket(exchange: Exchange) -> bool:
    """A request below `/buckets/default`."""
    return exchange.sent.path.startswith("/buckets/default")


def of_accounts(exchange: Exchange) -> bool:
    """A request for the list of accounts."""
    return exchange.sent.path == "/accounts"



def has_generated_entries(exchange: Exchange) -> bool:
    """As many entries of `/permissions`, some of them of objects with generated ids."""
    if exchange.sent.path != "/permissions":
        return False
    lists = [(side.body or {}).get("data", []) for side in (exchange.kinto, exchange.ours)]
    same_number = len(lists[0]) == len(lists[1])
    ids = [str(entry.get("id", "")) for entry in lists[0] + lists[1]]
    return same_number and any(map(looks_generated, ids))


def batch_refusal_header(
    exchange: Exchange, difference: Difference, before: Sequence[Exchange]
) -> bool:
    """A header that Kinto leaves out of a refusal in a batch, where ours is that of the batch."""
    name = difference.where.split(" header ")[-1]
    if not difference.where.startswith("responses[") or difference.kinto is not None:
        return False
    is_refusal = exchange.ours.status >= 400
    if name == "access-control-expose-headers":
        return is_refusal and bool(difference.ours)
    # The alert is left out of every answer.
    names = ("x-content-type-options", "content-security-policy", "backoff") if is_refusal else ()
    return name in ("alert", *names) and difference.ours == before[-1].ours.headers.get(name)


def after_refusal(
    exchange: Exchange, difference: Difference, before: Sequence[Exchange]
) -> bool:
    """The timestamp of a list whose first one was told with a 412, and by nothing else."""
    clock = clock_of(exchange.sent.path)
    if not difference.where.endswith("header etag") or clock is None:
        return False
    known: bool | None = None
    for one in [single for whole in before for single in (sub_exchanges(whole) or [whole])]:
        if one.sent.method == "DELETE" and clock.startswith(f"{one.sent.path}/"):
            known = None
        elif clock_of(one.sent.path) == clock and known is None:
            known = {2: True, 3: True}.get(one.kinto.status // 100, one.kinto.status != 412 and None)
    return known is False


def writes_json_otherwise(
    exchange: Exchange, difference: Difference, before: Sequence[Exchange]
) -> bool:
    """The length of what a HEAD in a batch is about, where it has other characters than ASCII, or
    numbers that can be written in two ways."""
    is_length = bool(re.match(r"responses\[\d+\] header content-length$", difference.where))
    texts = [body_text(one) for one in before]
    return is_length and any(re.search(r"\\u|\d\.\d|\de[+-]?\d|\d{19}", text) for text in texts)


def separates_with_semicolon(exchange: Exchange) -> bool:
    """A query string with a semicolon that is not encoded."""
    return ";" in urllib.parse.urlsplit(exchange.sent.target).query


def tells_failed_operation(
    exchange: Exchange, difference: Difference, before: Sequence[Exchange]
) -> bool:
    """Why an operation of a JSON patch fails."""
    is_text = difference.where in ("body.message", "body.details[0].description")
    texts = (str(difference.kinto), str(difference.ours))
    failed = all(re.match(r"(body: )?JSON Patch operation failed: ", text) for text in texts)
    return is_json_patch(exchange) and is_text and failed


def asks_what_listeners_lack(exchange: Exchange) -> bool:
    """A PATCH by someone who asks what has changed, where Kinto needs a member that is not among it:
    the id for groups and history, or one that the patch removes. In a batch, any may do so."""
    if exchange.sent.path == "/batch":
        return bool(re.search(r'"PATCH"', body_text(exchange))) and bool(
            re.search(r'"Response-Behavior": "(light|diff)"', body_text(exchange)))
    if exchange.step.method != "PATCH" or header(exchange, "response-behavior") not in ("light", "diff"):
        return False
    listens = "/groups/" in exchange.sent.path or "history" in exchange.includes
    nulls = "merge-patch" in content_type(exchange) and "null" in body_text(exchange)
    return listens or nulls or '"cache_expires": null' in body_text(exchange)


def judges_schema_by_dialect(
    exchange: Exchange, difference: Difference, before: Sequence[Exchange]
) -> bool:
    """A schema that names a dialect is saved, or not."""
    names_dialect = '"$schema": ' in body_text(exchange)
    left, right = exchange.kinto.status, exchange.ours.status
    saved = ((200, 201), (400,))
    differs = (left in saved[0] and right in saved[1]) or (left in saved[1] and right in saved[0])
    tells = left == right == 400 and bool(
        re.search(r"body\.(message|details\[\d+\])", difference.where))
    return names_dialect and "/records" not in exchange.sent.path and (differs or tells)


def fails_at_root(
    exchange: Exchange, difference: Difference, before: Sequence[Exchange]
) -> bool:
    """A record that its schema refuses, alone or in a batch."""
    has_schema = any('schema": {' in body_text(one) for one in before)
    if exchange.kinto.status != 500 or not has_schema:
        return False
    if exchange.sent.path != "/batch":
        return exchange.ours.status == 400 and "/records" in exchange.sent.path
    answers = exchange.ours.body.get("responses", []) if isinstance(exchange.ours.body, dict) else []
    return any(one.get("status") == 400 and "/records" in one.get("path", "") for one in answers)
