"""What we do otherwise on purpose, with the reason: differences that `make compat` accepts.

Section numbers are those of the specification. `docs/compatibility.md` lists the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Sequence

from .circumstances import (
    Test,
    after_refusal,
    asks_what_listeners_lack,
    batch_refusal_header,
    body_text,
    compares_with_empty_array,
    content_type,
    deleted_at_zero,
    deletes_with_odd_timestamp,
    depth,
    fails_at_root,
    filter_values,
    former_member,
    has_generated_entries,
    header,
    in_order_of_deletion,
    is_default_bucket,
    is_json_patch,
    is_large_number,
    is_list_batch,
    is_operational_at_root,
    judges_schema_by_dialect,
    listing,
    merges_nested,
    names_unknown_permission,
    numbers,
    of_accounts,
    place,
    precondition,
    query,
    repeats_in_batch,
    same_but_for_order,
    same_letters,
    separates_with_semicolon,
    sorts_composite,
    statuses,
    stayed_after_page,
    tells_batch_in_order,
    tells_failed_operation,
    tells_failure_at_root,
    touches_data_root,
    writes_json_otherwise,
)
from .compare import Difference, Exchange


@dataclass(frozen=True)
class Deviation:
    """One accepted difference."""

    name: str
    section: str
    reason: str
    explains: Test


def explain(
    exchange: Exchange, difference: Difference, before: Sequence[Exchange]
) -> Deviation | None:
    """The first deviation that accounts for the difference."""
    for deviation in DEVIATIONS:
        if deviation.explains(exchange, difference, before):
            return deviation
    return None


# -- tests ---------------------------------------------------------------------------------------


CRASH = (500,)
REFUSED = (400,)

DEVIATIONS: tuple[Deviation, ...] = (
    Deviation(
        "precondition-star", "2.7", "Kinto crashes on a precondition such as `*abc`; we answer 400",
        statuses(CRASH, REFUSED, lambda e: "*" in precondition(e)),
    ),
    Deviation(
        "delete-odd-timestamp", "2.8.5",
        "Kinto crashes on DELETE with a quoted or non-integer `last_modified`; we accept the quoted",
        statuses(CRASH, (200, 400, 404), deletes_with_odd_timestamp),
    ),
    Deviation(
        "merge-over-scalar", "2.11.4",
        "Kinto crashes on a merge patch of an object over a scalar; we apply RFC 7396",
        statuses(CRASH, (200, 400), merges_nested),
    ),
    Deviation(
        "merge-empty", "2.11.4",
        "a merge patch of an object that ends up empty changes nothing in Kinto; RFC 7396 stores `{}`",
        place(r"body\.data", lambda e: "merge-patch" in content_type(e) and merges_nested(e)),
    ),
    Deviation(
        "json-patch-add", "2.11.5",
        "principals may be added to every permission without `value`, not to `read` and `write` only",
        statuses(REFUSED, (200,), lambda e: "json-patch" in content_type(e)
                 and ":create/" in body_text(e)),
    ),
    Deviation(
        "empty-array", "3.2.3",
        "jsonb sorts `[]` before everything, also for Kinto; ours is an array among arrays",
        compares_with_empty_array,
    ),
    Deviation(
        "negative-lifetime", "1.13.3",
        "a negative `cache_expires` becomes `max-age=-1` in Kinto; it counts for nothing here",
        lambda e, difference, before: "/records" in e.sent.path
        and difference.where.startswith(("header expires", "header cache-control"))
        and str(difference.kinto).startswith(("-", "max-age=-")),
    ),
    Deviation(
        "merge-light", "2.11.4",
        "Kinto's `light` answer to a nested merge is empty; ours has the members that changed",
        place(r"body\.data", lambda e: "merge-patch" in content_type(e)
              and header(e, "response-behavior") == "light"),
    ),
    Deviation(
        "patch-type-parameter", "2.11.4, 2.11.5",
        "a parameter after the patch's media type makes Kinto read another kind of patch, or crash",
        lambda e, d, b: e.step.method == "PATCH" and bool(
            re.match(r"application/(merge|json)-patch\+json\s*;", content_type(e))),
    ),
    Deviation(
        "json-patch-root", "2.11.5",
        "Kinto crashes on a JSON patch of the whole `/data` or `/permissions`; we answer 400",
        statuses((500, 200), REFUSED, touches_data_root),
    ),
    Deviation(
        "json-patch-permission", "2.11.5",
        "a JSON patch adds permissions that do not exist in Kinto; we answer 400",
        statuses((200, 500), REFUSED, names_unknown_permission),
    ),
    Deviation(
        "json-patch-texts", "2.11.5",
        "Kinto's words on an operation that fails are its library's, with the whole object in them",
        tells_failed_operation,
    ),
    Deviation(
        "batch-304", "6.3.4", "Kinto crashes when a sub-request ends in 304; we answer an entry",
        statuses(CRASH, (200,), lambda e: e.sent.path == "/batch" and any(
            one.get("status") == 304 for one in (e.ours.body or {}).get("responses", []))),
    ),
    Deviation(
        "batch-raw-path", "6.2.5",
        "Kinto crashes on raw non-ASCII or invalid UTF-8 in a sub-request's path",
        statuses(CRASH, (200, 400), lambda e: e.sent.path == "/batch" and bool(
            re.search(r'"path": "[^"]*(\\u|%[89A-Fa-f])', body_text(e)))),
    ),
    Deviation(
        "schema-root-keyword", "2.13.6",
        "Kinto crashes when a keyword with a number or an object fails at a record's root",
        fails_at_root,
    ),
    Deviation(
        "behavior-crash", "2.11.2",
        "Kinto crashes where `light` or `diff` leave out what it needs: of groups, with history, or where "
        "a member is removed",
        statuses(CRASH, (200,), asks_what_listeners_lack),
    ),
    Deviation(
        "timestamp-of-refusal", "2.8.2",
        "Kinto forgets the first timestamp of an empty list with the 412 that told it",
        after_refusal,
    ),
    Deviation(
        "json-forms", "0.3.6", "the same JSON, in UTF-8 and with the shortest numbers, as HEAD tells",
        writes_json_otherwise,
    ),
    Deviation(
        "query-semicolon", "3.1",
        "`;` separates parameters for Kinto; not for caches, which could then be made to mix up answers",
        lambda e, d, b: separates_with_semicolon(e),
    ),
    Deviation(
        "permissions-order", "4.9",
        "`/permissions` is sorted by URI, and so by ids that each server generates",
        place(r"body\.data", has_generated_entries),
    ),
    Deviation(
        "schema-root-name", "2.13.6",
        "Kinto names the last character, item or key of a keyword's value; we name the keyword",
        tells_failure_at_root,
    ),
    Deviation(
        "schema-dialect", "2.13.4",
        "Kinto checks every schema as Draft 7, whatever dialect it is used in; we use its own",
        judges_schema_by_dialect,
    ),
    Deviation(
        "member-order", "2.13.6", "texts show the members of an object in alphabetical order",
        same_letters,
    ),
    Deviation(
        "permissions-etag", "4.9",
        "Kinto's ETag of `/permissions` never changes: clients would get 304 for new rights",
        place(r"header (etag|last-modified)$", lambda e: e.sent.path == "/permissions"),
    ),
    Deviation(
        "history-rights", "7.2.2",
        "entries of a batch have the rights after each change; in Kinto, those at its end",
        lambda e, difference, before: e.sent.path.endswith("/history")
        and ".target.permissions" in difference.where
        and any(one.sent.path == "/batch" for one in before),
    ),
    Deviation(
        "history-order", "7.2.2",
        "entries of a batch come in the order of its requests; in Kinto, grouped by parent and action",
        tells_batch_in_order,
    ),
    Deviation(
        "history-method", "7.2",
        "a method that the history does not have is 405, also in a bucket with a malformed id",
        statuses((404,), (405,), lambda e: e.sent.path.endswith("/history")),
    ),
    Deviation(
        "schema-tuple-items", "2.13.4",
        "Kinto accepts Draft-7 `items` lists without `$schema`, then crashes on every record",
        lambda e, d, b: e.kinto.status == 500 and e.ours.status in (200, 201, 400)
        and "/records" in e.sent.path and any('"items": [' in body_text(one) for one in b),
    ),
    Deviation(
        "sort-composite", "3.5.5",
        "where the sort member holds arrays or objects, Kinto's pages fail or skip; ours show each "
        "object once, and `[]` beside the other arrays",
        sorts_composite,
    ),
    Deviation(
        "delete-sort", "2.12.2",
        "Kinto's pages of a DELETE with `_sort` by a member fail or skip objects; ours do not",
        lambda e, d, b: e.step.method == "DELETE" and "_token" in query(e) and "_sort" in query(e),
    ),
    Deviation(
        "delete-page-rights", "2.12.2",
        "Kinto's DELETE of a page also takes the rights to the objects that stay",
        stayed_after_page,
    ),
    Deviation(
        "like-last-modified", "3.2.6", "Kinto on PostgreSQL answers 503 to `like_last_modified`",
        statuses((503,), (200,), lambda e: "like_last_modified" in query(e)),
    ),
    Deviation(
        "like-wildcards", "3.2.6", "`%`, `_` and `\\` in `like_` stand for themselves, as documented",
        lambda e, d, b: listing(e, d) and any(
            re.search(r"[%_\\]", value) for value in filter_values(e, "like_")),
    ),
    Deviation(
        "bound-null", "3.3.2", "`_since`, `_before` and `_to` of null: no bound; on PostgreSQL, nothing",
        lambda e, d, b: listing(e, d) and any(
            query(e).get(name) == "null" for name in ("_since", "_before", "_to")),
    ),
    Deviation(
        "exclude-nothing", "3.2.4", "`exclude_` with an empty list hides all that have the member in Kinto",
        lambda e, d, b: listing(e, d) and "" in filter_values(e, "exclude_"),
    ),
    Deviation(
        "unknown-members-order", "2.6.2", "unknown members are named in the order of the alphabet",
        same_but_for_order,
    ),
    Deviation(
        "large-numbers", "2.6.9",
        "integers beyond 64 bits are shown as the doubles that clients and signatures make of them",
        is_large_number,
    ),
    Deviation(
        "delete-at-zero", "2.8.5",
        "Kinto dates a tombstone 0 when asked to: who synchronises would never see it",
        deleted_at_zero,
    ),
    Deviation(
        "basic-strict", "5.2", "Base64 with other characters in it is no Base64",
        lambda e, d, b: bool(re.match(r"(?i)basic\s", header(e, "authorization"))) and not re.fullmatch(
            r"(?i)basic\s+[A-Za-z0-9+/]+={0,2}\s*", header(e, "authorization")),
    ),
    Deviation(
        "content-type-case", "2.6.1", "a media type has no case",
        statuses((415,), (200, 201), lambda e: content_type(e) != content_type(e).lower()),
    ),
    Deviation(
        "double-slash", "1.5.1", "the path of a redirect is kept as it was sent",
        place(r"header location$", lambda e: e.sent.target.startswith("//")),
    ),
    Deviation(
        "batch-redirect", "6.2.3",
        "in a batch, a redirect to an unknown URL is a 404 with errno 999 in Kinto; here 111, as ever",
        lambda e, difference, before: e.kinto.status == e.ours.status == 404
        and e.step.path.endswith("/") and difference.where.startswith("responses["),
    ),
    Deviation(
        "batch-headers", "6.3.1",
        "Kinto leaves headers out of refusals in a batch, and the alert; ours are those of the batch",
        batch_refusal_header,
    ),
    Deviation(
        "batch-list", "6.1.1", "Kinto crashes on a batch that is a list; we answer 400",
        statuses(CRASH, REFUSED, is_list_batch),
    ),
    Deviation(
        "order-of-deletion", "2.12.2",
        "what a DELETE of a list takes goes in the list's order; in Kinto, as PostgreSQL's pages have it",
        in_order_of_deletion,
    ),
    Deviation(
        "batch-deletes-late", "2.12.4",
        "Kinto deletes what is below a bucket or collection at the batch's end, also what the batch "
        "made anew",
        repeats_in_batch,
    ),
    Deviation(
        "heartbeat-signer", "1.2.1", "the signer is a part of this server",
        place(r"body\.signer$|header content-length$", lambda e: e.sent.path == "/__heartbeat__"),
    ),
    Deviation(
        "id-newline", "2.3.1", "Kinto lets an id end in a newline; we answer 400",
        lambda e, d, b: "%0A" in e.sent.target.upper() or '\\n"' in body_text(e),
    ),
    Deviation(
        "id-length", "2.3.1", "ids have at most 512 bytes: a key has to fit PostgreSQL's index",
        lambda e, d, b: e.ours.status in (400, 404)
        and bool(re.search(r"[A-Za-z0-9_-]{513}", e.sent.target + body_text(e))),
    ),
    Deviation(
        "nul", "2.6.9, 0.1.3", "U+0000 cannot be stored: we answer 400, Kinto on PostgreSQL 503",
        statuses((500, 503, 201, 200), REFUSED, lambda e: "\\u0000" in body_text(e)),
    ),
    Deviation(
        "json-depth", "0.1.3", "JSON nested deeper than 64 is refused: memory has to be bounded",
        statuses((200, 201), REFUSED, lambda e: depth(body_text(e)) > 60),
    ),
    Deviation(
        "timestamp-range", "2.8.4",
        "`last_modified` below 0, or above 2^53 - 1, is refused: a list's clock would stand still",
        lambda e, d, b: any(not 0 <= n <= 2**53 - 1 for n in numbers(body_text(e))),
    ),
    Deviation(
        "timestamp-boolean", "2.6.5", "a boolean `last_modified` slips through in Kinto; we drop it",
        lambda e, d, b: bool(re.search(r'"last_modified":\s*(true|false)', body_text(e))),
    ),
    Deviation(
        "missing-bucket", "2.4.1",
        "settings may let users create in a bucket that does not exist; we answer 404",
        lambda e, d, b: e.ours.status == 404 and e.kinto.status in (200, 201)
        and bool(re.search(r"/(collections|groups)", e.sent.path)),
    ),
    Deviation(
        "former-member", "4.1.3",
        "in Kinto, members of the groups of a deleted bucket keep the group's principal",
        former_member,
    ),
    Deviation(
        "password-length", "5.3.2", "Kinto crashes on a password above 72 bytes; we answer 400",
        statuses(CRASH, REFUSED, lambda e: "/accounts" in e.sent.path or "password" in body_text(e)),
    ),
    Deviation(
        "accounts-clock", "5.3.6",
        "in Kinto each account is a list of its own; ours are one list with one timestamp",
        place(r"(header etag|header last-modified|last_modified)$", of_accounts),
    ),
    Deviation(
        "account-id-type", "5.3.5",
        "Kinto fails on an account's id that is no text, with 409 or 503; we answer 400",
        statuses((409, 500, 503), REFUSED, of_accounts),
    ),
    Deviation(
        "account-for-others", "5.3.6",
        "Kinto hides an account that everybody may read from other users; we show it",
        statuses((404,), (200,), lambda e: e.sent.path.startswith("/accounts/")),
    ),
    Deviation(
        "default-bucket-headers", "7.1",
        "errors below `/buckets/default` expose to scripts what the real endpoint exposes",
        place(r"header access-control-expose-headers$", is_default_bucket),
    ),
    Deviation(
        "default-bucket-unknown", "7.1",
        "what no path below `/buckets/default` can be is 404 or redirected for anonymous users, too",
        statuses((401,), (307, 404), is_default_bucket),
    ),
    Deviation(
        "default-bucket-again", "7.1",
        "Kinto's batch does not make a default bucket anew that it has deleted",
        lambda e, d, b: is_default_bucket(e) and e.kinto.status == 403 and e.ours.status in (200, 201)
        and any('"DELETE"' in body_text(one) for one in b),
    ),
    Deviation(
        "default-bucket-escaped", "7.1",
        "Kinto makes a collection before a PUT of it when its id is escaped; we do not",
        lambda e, d, b: e.step.method == "PUT"
        and bool(re.match(r"/buckets/default/collections/[^/]*%", e.sent.path)),
    ),
    Deviation(
        "operational-at-root", "1.2", "Dockerflow asks for operational endpoints without `/v1`",
        lambda e, d, b: is_operational_at_root(e),
    ),
    Deviation(
        "capability-texts", "1.1.4", "descriptions and URLs of capabilities are free text",
        place(r"body\.capabilities\.\w+\.(description|url)$|header content-length$",
              lambda e: e.sent.path in ("", "/", "/v1/", "/v1", "/batch")),
    ),
    Deviation(
        "hello-config", "1.1.1", "the configuration file's path, hash and time are each server's own",
        place(r"body\.config", lambda e: e.sent.path in ("", "/", "/v1", "/batch")),
    ),
    Deviation(
        "snapshot-tombstones", "7.2.10",
        "Kinto's snapshot may hold tombstones of records that were re-created later; ours omits them",
        place(r"body\.data", lambda e: "/snapshot/" in e.sent.path),
    ),
)
